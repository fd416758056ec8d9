---
dlm_id: 05DAD1EBYF4F9ZN7ER7WCZSPHP
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 4
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 3
  learning_rate: 0.0005
  lr_scheduler: "linear"
  warmup_ratio: 0.0
  micro_batch_size: 4
  grad_accum: 1
  gradient_checkpointing: true
---

::image path="images/one.png" alt="a drawing"::
star it an

::instruction::
### Q
en which many star?
### A
blue
### Q
is triangle?
### A
image old star detect

::prose::
En the two shapes on image blue.

::instruction::
### Q
the an and?
### A
detect green near left

