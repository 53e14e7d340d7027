#!/usr/bin/env bash
# Writes the initial corpora: the events of the golden tests (one file for each line), their contracts, and typical values of sources.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p corpus/{contracts,debezium,dynamodb,mongodb,values} artifacts
for folder in ../tests/events/*/; do
  name=$(basename "$folder")
  case $name in
    mongodb) target=mongodb ;;
    dynamodb-*) target=dynamodb ;;
    *) target=debezium ;;
  esac
  cp "$folder/contract.yaml" "corpus/contracts/$name.yaml"
  split --lines=1 "$folder/events.ndjson" "corpus/$target/$name-"
done
split --lines=1 values.txt corpus/values/seed-
