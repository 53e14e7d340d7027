#!/usr/bin/env bash
# Fills the corpora with where fuzzing begins: the golden tests' events, a line a file, their contracts, and values as sources write them.
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
