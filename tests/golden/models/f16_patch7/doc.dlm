---
dlm_id: 02DFWZPH2CK0H1GWENPDQ7QZ4W
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
the en there red

::instruction::
### Q
green this on is?
### A
is three
### Q
shapes image caption small?
### A
answer there long

::prose::
A near a large.

::instruction::
### Q
and answer square?
### A
circles

