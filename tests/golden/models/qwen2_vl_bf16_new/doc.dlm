---
dlm_id: 02VM4BN70N5RD0GM7WKQQ811WV
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 5
  lora_alpha: 9
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "cosine"
  warmup_ratio: 0.1
  micro_batch_size: 2
  grad_accum: 3
---

::image path="images/one.png" alt="a drawing"::
caption house square which en

::instruction::
### Q
there image?
### A
colour large segment
### Q
ground triangle star on?
### A
en

::prose::
Are has left image.

::instruction::
### Q
small are?
### A
an

::image path="images/two.png" alt="a drawing"::
left what house

