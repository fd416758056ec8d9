---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: b
training: {target_modules: '.*(q|v)_proj', gradient_checkpointing: true, backend: vulkan}
---

x

::image path="a.png"::
cap

::instruction::
### Q !probe
q
### A
a
### Q
r
### A
b
