---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: b
x: !!binary aGk=
y: !!set {a, b}
z: 2001-12-14t21:59:43.10-05:00
? [1]
: 2
---
