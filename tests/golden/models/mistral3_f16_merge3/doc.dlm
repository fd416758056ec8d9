---
dlm_id: 0JTB1995954JMDYDQHHT21XJAH
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 4
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 1
  learning_rate: 0.0005
  lr_scheduler: "linear"
  warmup_ratio: 0.0
  micro_batch_size: 4
  grad_accum: 1
  gradient_checkpointing: true
---

::image path="images/one.png" alt="a drawing"::
detect long near

::instruction::
### Q
ground many near three?
### A
a water the three
### Q
image green?
### A
three

::prose::
Is one shows two.

::instruction::
### Q
answer a?
### A
colour is

