"""The folder of what an export keeps back from those it is for, so that it can be judged."""

import pyarrow as pa

REJECTED = "rejected"  # image set of rejected images, with FIELDS
TEACHER = "teacher.safetensors"  # the classifier that filtered
# images of the class minted before; name of the filter that rejected it
FIELDS = (pa.field("attempt", pa.int64()), pa.field("filter", pa.string()))
