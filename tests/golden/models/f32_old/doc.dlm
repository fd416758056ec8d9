---
dlm_id: 0R7STD0HK1DBS629DWG0NJR445
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 8
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.002
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
---

::image path="images/one.png" alt="a drawing"::
caption star near is

::instruction::
### Q
blue an?
### A
caption
### Q
of segment?
### A
red image are square

::prose::
How square old water this star it.

