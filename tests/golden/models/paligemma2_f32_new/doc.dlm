---
dlm_id: 01433C50XCRJ8XCEZH3C5AHKDH
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
caption square of the

::instruction::
### Q
on on?
### A
two blue
### Q
has image answer?
### A
many and an

::prose::
On star caption segment the has detect.

