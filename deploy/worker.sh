#!/bin/sh
# Make the work pool and the limit where they are not there yet, deploy, and work.
set -eu
until prefect --no-prompt work-pool ls >/dev/null 2>&1; do sleep 2; done
prefect --no-prompt work-pool create local-gpu --type process || true
# what a run may change of the job: not its command, environment or folder
prefect --no-prompt work-pool update local-gpu --base-job-template flows/process_pool.json
prefect --no-prompt gcl create gpu --limit 1 || true
prefect --no-prompt deploy --all
exec prefect worker start --pool local-gpu
