---
dlm_id: 0FFSBDB6JGAXXZ3N1HCJHPA91R
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
old left old image

::instruction::
### Q
image triangle shows?
### A
it which detect short
### Q
three question green?
### A
the

::prose::
Which two circles an.

::instruction::
### Q
one water segment water?
### A
left

::image path="images/two.png" alt="a drawing"::
are answer a detect old

