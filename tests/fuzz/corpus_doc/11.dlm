---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: paligemma-3b-mix-224
training:
  seed: 42
  lr_scheduler: linear
  adapter: qlora
  lora_dropout: 0.05
  optimizer: adamw_torch
  preference:
    reference: base
    method: dpo
    hyperparams:
      learning_rate: 1.0e-5
      alpha: 0.1
      beta: 0.3
      num_epochs: 1
    loss_type: sigmoid
    enabled: "off"
  gate:
    hidden_proj_dim: 128
  sources:
    - path: ~/x
      include: []
      max_files: "3"
    - path: src
      exclude: []
      max_bytes_per_file: null
---

::image path="a\"b"::
::image path="a\"b"::
### A
::audio path="x.wav" transcript="hi"::
::image path="" ::
### A
::image path="a.png"::
### Q
What?
::image   alt="q"  path="b"   ::
<!-- dlm-auto-harvest: source="run_1" -->