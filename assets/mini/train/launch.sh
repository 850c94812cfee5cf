#!/usr/bin/env bash
# launch.sh N SCRIPT ARGS…: run SCRIPT in N processes of one thread each and show the log of the first.
# The malloc settings keep freed memory in the process: page faults cost more than the arithmetic at this size.
set -euo pipefail
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184
export MALLOC_TOP_PAD_=268435456 OMP_NUM_THREADS=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + RANDOM % 20000)) WORLD_SIZE=$1
shift
for ((rank = 1; rank < WORLD_SIZE; rank++)); do
  RANK=$rank "${PYTHON:-python3}" "$@" >/dev/null &
done
RANK=0 "${PYTHON:-python3}" "$@"
wait
