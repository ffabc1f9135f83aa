"""Compares what was sent with what is in Kafka, and ends non-zero where a promise is broken.

    books.py WHAT BOOKS [--failures] [--in-flight N] < ids

On standard input a ce_id a line, as a consumer read them; BOOKS is the sender's. By default each delivery must be answered
2xx at its first try, and each event be there exactly once.

--failures       tries may fail on the way (no connection, or one that broke), and are repeated; a 5xx may not come
--in-flight N    up to N events may be there more often than they were sent: a process was killed at least once
"""

import argparse
import collections
import json
import sys

parser = argparse.ArgumentParser()
parser.add_argument("what")
parser.add_argument("books")
parser.add_argument("--failures", action="store_true")
parser.add_argument("--in-flight", type=int, default=0)
options = parser.parse_args()

read = collections.Counter(line.strip() for line in sys.stdin)
deliveries = [json.loads(line) for line in open(options.books)]
sent = sum(len(d["ids"]) for d in deliveries)
outcomes = collections.Counter(str(t[2]) for d in deliveries for t in d["tries"])
wrong = []

unanswered = [d for d in deliveries if d["tries"][-1][2] not in range(200, 300)]
if unanswered:
    wrong.append(f"{len(unanswered)} deliveries were never answered 2xx, the last tries: {unanswered[0]['tries'][-3:]}")
errors = [t for d in deliveries for t in d["tries"] if isinstance(t[2], int) and t[2] >= 300]
if errors:
    wrong.append(f"{len(errors)} tries were answered {sorted({t[2] for t in errors})}, the first after {errors[0][0]} s")
failed = [t for d in deliveries for t in d["tries"] if not isinstance(t[2], int)]
if failed and not options.failures:
    wrong.append(f"{len(failed)} tries failed on the way ({failed[0][2]}, the first after {failed[0][0]} s)")
lost = [name for d in deliveries if d not in unanswered for name in d["ids"] if not read[name]]
if lost:
    wrong.append(f"{len(lost)} events are lost, the first is {lost[0]}")
# Another replica cannot know what the first one has: such a repeat is the sender's.
sent_again = sum(max(0, read[name] - 1) for d in deliveries if len(d["tries"]) > 1 for name in d["ids"])
too_often = sum(
    max(0, read[name] - len(d["tries"])) for d in deliveries for name in d["ids"]
)
if too_often > options.in_flight:
    wrong.append(f"{too_often} events were repeated, {options.in_flight} may be")

slowest = max((t[1] for d in deliveries for t in d["tries"]), default=0)
print(
    f"   {options.what}: {len(deliveries)} deliveries, {sent} events; answers {dict(sorted(outcomes.items()))}, "
    f"the slowest {slowest:.1f} s; lost {len(lost)}, repeated {too_often}, sent twice by the sender {sent_again}"
)
if not deliveries:
    wrong.append("nothing was sent")
for line in wrong:
    print(f"   BROKEN: {line}")
sys.exit(bool(wrong))
