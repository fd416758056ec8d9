---
dlm_id: 0FKM9Z51NFSJN689W9TD374KAX
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 8
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
  adapter: "qlora"
---

::image path="images/one.png" alt="a drawing"::
has the triangle image there

::instruction::
### Q
blue large is star?
### A
star an
### Q
detect water star?
### A
house en green this

::prose::
Answer it image caption large.

