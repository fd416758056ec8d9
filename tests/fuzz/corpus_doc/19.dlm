---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 123456789012345680.0
base_model: paligemma-3b-mix-224
training:
  gate:
    cold_start_floor: 4
    steps: 200
    entropy_lambda: 0.5
    lr: 3e-4
    hidden_proj_dim: 64
  sources:
    - path: ~/x
      include: ["**/*.py", "*.md"]
      max_bytes_per_file: 1
    - path: "a b"
      max_bytes_per_file: null
export:
  default_quant: Q4_K_M
  default_top_p: null
  default_temperature: null
system_prompt: |
  You are

  terse.
---
<!-- dlm-auto-harvest: source="a"b" -->
::audio path="x.wav" transcript="hi"::

<!-- dlm-auto-harvest: source="a"b" -->

