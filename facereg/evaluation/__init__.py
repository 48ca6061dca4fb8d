"""The paper's section 5 and the protocols around it: detection, verification, identification."""
