---
dlm_id: 0W1BVH458AVJX7CY4V90RJ2PGD
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 8
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 1
  learning_rate: 0.002
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
---

::image path="images/one.png" alt="a drawing"::
this the green left

::instruction::
### Q
green house a?
### A
left circles circles image
### Q
answer on?
### A
image near star

::prose::
Of answer of how.

