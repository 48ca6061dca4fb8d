"""What a database may be: down, killed, too old, without pgvector, full, read-only, another's; each is one line."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from facereg_pgvector import schema
from facereg_pgvector.matcher import PgvectorMatcher
from facereg_pgvector.place import Place

from facereg import Address, Embeddings, GalleryError, GalleryUnreachableError, SpaceMismatchError
from facereg.gallery import Gallery, Source
from facereg.testing.pictures import vectors
from tests.postgres import Server

DIM = 16
SECRET = "s3cr3t"


def source(number: int) -> Source:
    return Source(f"{number}.jpg", f"{number:064x}")


def given(seed: int) -> Embeddings:
    return vectors(1, DIM, "a", seed=seed)


@pytest.fixture
def ada(database: str) -> str:
    """The address of a gallery that knows Ada."""
    with Gallery.open(database, space="a", create=True) as held:
        held.enroll("Ada", given(0), [source(0)])
    return database


def schema_of(address: str) -> str:
    return Place.of(Address.of(address)).schema


@pytest.fixture
def run_sql(postgres: str) -> Iterator[Callable[[str], None]]:
    with psycopg.connect(postgres, autocommit=True) as connection:

        def run(sql: str) -> None:
            connection.execute(sql.encode())

        yield run


@contextmanager
def one_line(words: str, kind: type[Exception] = GalleryError) -> Iterator[None]:
    with pytest.raises(kind, match=words) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("postgresql://")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://ada:s3cr3t@127.0.0.1:1/faces", "127.0.0.1.*refused"),
        ("postgresql://ada:s3cr3t@nowhere.invalid/faces", "nowhere.invalid"),
        ("postgresql:///faces?host=/nowhere&password=s3cr3t", "/nowhere"),
        (
            "postgresql://ada:s3cr3t@127.0.0.1:1/faces?connect_timeout=1&schema=Team%20A",
            "schema: expected small letters",
        ),
        ("postgresql://ada:s3cr3t@127.0.0.1:1/faces?pasword=s3cr3t", "expected postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://ada:s3cr3t%zz@127.0.0.1:1/faces", "expected postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://ada:p@s3cr3t@127.0.0.1:1/faces", "expected one @, .* write that of a password as %40"),
        ("postgresql://u:s3cr3t@127.0.0.1:1/faces?sslmode=nonsense", 'invalid sslmode value: "nonsense"'),
    ],
    ids=["down", "no host", "no socket", "schema", "option", "escape", "@ in the password", "user of one letter"],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_credentials(
    address: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(GalleryError, match=words) as caught:
        Gallery.open(address)
    error: BaseException | None = caught.value
    while error is not None:  # whoever prints the whole traceback
        assert SECRET not in str(error)
        assert SECRET not in repr(error)
        error = error.__cause__
    assert "\n" not in str(caught.value)
    assert SECRET not in caplog.text


def test_a_database_that_does_not_exist_is_named(postgres: str) -> None:
    with one_line('database "nothing" does not exist', GalleryUnreachableError):
        Gallery.open(postgres.replace("/postgres?", "/nothing?"))


def test_a_server_or_pgvector_that_is_too_old_is_named(ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OLDEST_SERVER", 990000)
    with one_line("expected PostgreSQL 99 or later, got 18; upgrade it"):
        Gallery.open(ada)
    monkeypatch.undo()
    monkeypatch.setattr(schema, "OLDEST_PGVECTOR", (9, 1))
    with one_line("expected pgvector 9.1 or later, got 0.8"):
        Gallery.open(ada)


@pytest.fixture
def bare(postgres: str) -> Iterator[tuple[str, psycopg.Connection[tuple[object, ...]]]]:
    """A database without pgvector, and a connection to it."""
    address = postgres.replace("/postgres?", "/bare?")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
        with psycopg.connect(address, autocommit=True) as inside:
            yield address, inside
        connection.execute("DROP DATABASE bare WITH (FORCE)")


def test_a_server_without_pgvector_is_named(bare: tuple[str, psycopg.Connection[tuple[object, ...]]]) -> None:
    address, connection = bare
    connection.execute("ALTER DATABASE bare SET extension_control_path = '/nowhere'")
    with one_line("the server has no pgvector; install it there"):
        Gallery.open(address, space="a", create=True)
    with one_line("found no gallery there; make one with"):
        Gallery.open(address)


def test_a_user_who_may_not_add_pgvector_is_told(bare: tuple[str, psycopg.Connection[tuple[object, ...]]]) -> None:
    address, connection = bare
    connection.execute("CREATE ROLE modest LOGIN")
    connection.execute("GRANT CREATE ON DATABASE bare TO modest")
    try:
        with one_line("this user may not add it; let its owner run CREATE EXTENSION vector"):
            Gallery.open(f"{address}&user=modest", space="a", create=True)
    finally:
        connection.execute("DROP OWNED BY modest")
        connection.execute("DROP ROLE modest")


def test_a_full_disk_changes_nothing(ada: str, run_sql: Callable[[str], None]) -> None:
    own = schema_of(ada)
    run_sql(
        f"CREATE FUNCTION {own}.full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    )
    run_sql(f"CREATE TRIGGER no_room BEFORE INSERT ON {own}.embeddings FOR EACH ROW EXECUTE FUNCTION {own}.full()")
    with Gallery.open(ada, space="a") as held:
        with one_line("the database's disk is full; make room there; nothing was changed"):
            held.enroll("Bob", given(1), [source(1)])
        assert [person.name for person in held.people()] == ["Ada"]
        run_sql(f"DROP TRIGGER no_room ON {own}.embeddings")
        held.enroll("Bob", given(1), [source(1)])
        assert held.check() == []


def test_a_database_that_takes_no_changes_is_read(ada: str) -> None:
    read_only = f"{ada}&options=-c%20default_transaction_read_only%3Don"
    with Gallery.open(read_only, space="a") as held:
        assert [person.name for person in held.people()] == ["Ada"]
        with one_line("the database takes no changes .*; nothing was changed"):
            held.enroll("Bob", given(1), [source(1)])


def test_a_user_without_rights_is_told(ada: str, run_sql: Callable[[str], None]) -> None:
    run_sql("CREATE ROLE guest LOGIN")
    try:
        with one_line("this user may not do that in the database"):
            Gallery.open(f"{ada}&user=guest")
        run_sql(f"GRANT USAGE ON SCHEMA {schema_of(ada)} TO guest")
        run_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_of(ada)} TO guest")
        with Gallery.open(f"{ada}&user=guest") as held:
            assert len(held) == 1
            with one_line("this user may not do that in the database; .*; nothing was changed"):
                held.enroll("Bob", given(1), [source(1)])
    finally:
        run_sql("DROP OWNED BY guest")
        run_sql("DROP ROLE guest")


def test_a_gallery_of_another_embedder_is_refused(ada: str) -> None:
    with one_line("holds embeddings of 'a', expected 'b'", SpaceMismatchError):
        Gallery.open(ada, space="b")


def test_a_later_version_is_refused(ada: str, run_sql: Callable[[str], None]) -> None:
    run_sql(f"UPDATE {schema_of(ada)}.version SET number = 99")
    with one_line("expected gallery version .*, got 99; upgrade facereg-pgvector"):
        Gallery.open(ada)


@pytest.mark.parametrize("sql", ["DELETE FROM version", "UPDATE version SET number = 0"])
def test_tables_that_are_no_gallerys_are_named(ada: str, run_sql: Callable[[str], None], sql: str) -> None:
    run_sql(f"SET search_path = {schema_of(ada)}, public")
    run_sql(sql)
    with one_line("its tables are not a gallery's; restore an export, or name another schema"):
        Gallery.open(ada, space="a", create=True)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE embeddings SET person = 2 WHERE id = 1", "'Bob', 0.jpg: its bytes were altered"),
        ("UPDATE people SET name = 'Eve' WHERE id = 1", "'Eve', 0.jpg: its bytes were altered"),
        ("DELETE FROM embeddings WHERE id = 1", "has no embedding"),
        ("UPDATE gallery SET people = 7", "its bytes were altered"),
        ("UPDATE templates SET total = total * array_fill(2, ARRAY[16])::vector WHERE person = 1", "'Ada': what is"),
        ("DELETE FROM templates WHERE person = 2", "'Bob': is not among those that are searched"),
    ],
)
def test_what_another_program_altered_is_found(ada: str, run_sql: Callable[[str], None], sql: str, words: str) -> None:
    with Gallery.open(ada, space="a") as held:
        held.enroll("Bob", given(1), [source(1)])
        assert held.check() == []
        run_sql(f"SET search_path = {schema_of(ada)}, public")
        run_sql(sql)
        assert any(words in line for line in held.check())


def plant(step: str) -> None:
    schema.STEPS += (step,)


def opened(address: str) -> int:
    """Open a gallery with a version more, in a process of its own; return how many people it has."""
    with Gallery.open(address, space="a") as held:
        return len(held)


def test_programs_that_migrate_at_once_do_it_once(ada: str, run_sql: Callable[[str], None]) -> None:
    step = "CREATE TABLE step (number INTEGER); INSERT INTO step VALUES (1);"
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawning, initializer=plant, initargs=(step,)) as pool:
        assert list(pool.map(opened, [ada] * 6)) == [1] * 6
    with psycopg.connect(ada.partition("&schema")[0]) as connection:
        own = schema_of(ada)
        assert connection.execute(f"SELECT count(*) FROM {own}.step".encode()).fetchone() == (1,)
    with one_line("got 2; upgrade facereg-pgvector"):
        Gallery.open(ada)


def test_a_server_that_is_killed_gives_typed_errors_and_goes_on() -> None:
    with Server() as server:
        address = server.gallery("team")
        with Gallery.open(address, space="a", create=True) as held, PgvectorMatcher(threshold=0.5) as matcher:
            held.enroll("Ada", given(0), [source(0)])
            held.fill(matcher)
            server.kill()
            calls: list[Callable[[], object]] = [
                held.people,
                held.people,
                lambda: held.enroll("Bob", given(1), [source(1)]),
                lambda: matcher.match(given(0)),
            ]
            for call in calls:
                with one_line("postgresql", GalleryUnreachableError):
                    call()
            server.start()
            assert next(iter(matcher.match(given(0)))).label == "Ada"
            assert held.enroll("Bob", given(1), [source(1)]).added == 1
            assert [person.name for person in held.people()] == ["Ada", "Bob"]
            assert held.check() == []


def test_a_connection_that_broke_between_two_calls_is_made_anew(ada: str, run_sql: Callable[[str], None]) -> None:
    with Gallery.open(ada, space="a") as held:
        run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'facereg'")
        assert held.enroll("Bob", given(1), [source(1)]).added == 1
        run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'facereg'")
        assert len(held) == 2


def test_a_gallery_that_was_replaced_while_open_is_refused(ada: str, tmp_path: object) -> None:
    from facereg.gallery import restore_gallery

    with Gallery.open(f"{tmp_path}/b", space="b", create=True) as other:
        other.enroll("Eve", vectors(1, 8, "b"), [source(5)])
        other.export(f"{tmp_path}/b.npz")
    with Gallery.open(ada, space="a") as held:
        for backup in ("b.npz", "b"):
            assert restore_gallery(f"{tmp_path}/{backup}", ada) == 1
            with one_line("another gallery was put in the place of this one"):
                held.people()
    with Gallery.open(ada, space="b") as held:
        assert [person.name for person in held.people()] == ["Eve"]
        assert held.check() == []
