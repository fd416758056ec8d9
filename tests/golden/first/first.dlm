---
dlm_id: 01KAJ2T0F1RSTD0CTWENTYR0WS
dlm_version: 15
base_model: tiny-shapes
---

::image path="learn-blik-00.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-01.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-02.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-03.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-04.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-05.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-06.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-07.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-08.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-09.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-10.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-11.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-12.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-13.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-14.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-15.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-16.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-17.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom

::image path="learn-blik-18.png" alt="blik"::

::instruction::
### Q
what is this?
### A
a blik

::image path="learn-wom-19.png" alt="wom"::

::instruction::
### Q
what is this?
### A
a wom
