#!/usr/bin/env bash
# Asks a running server for one of everything, with curl alone; exits with 1 at the first wrong answer.
#
#   deploy/smoke.sh [http://127.0.0.1:8000]        CARAVAN_KEY=... if it has keys
set -euo pipefail

base=${1:-http://127.0.0.1:8000}
base=${base%/}
headers=(-H 'Content-Type: application/json')
[ -z "${CARAVAN_KEY:-}" ] || headers+=(-H "Authorization: Bearer $CARAVAN_KEY")

# ask NAME STATUS PATTERN PATH [BODY]: the answer has this status and, anywhere, this extended regular expression.
ask() {
  local name=$1 status=$2 pattern=$3 path=$4 answer
  shift 4
  answer=$(curl --silent --show-error --max-time 60 --write-out '\n%{http_code}' \
    "${headers[@]}" ${1:+--data "$1"} "$base$path") || fail "$name" "no answer"
  [ "${answer##*$'\n'}" = "$status" ] || fail "$name" "status ${answer##*$'\n'} instead of $status: $answer"
  grep --quiet --extended-regexp -- "$pattern" <<<"$answer" || fail "$name" "no /$pattern/ in: $answer"
  echo "ok    $name"
}

fail() {
  echo "FAIL  $1: $2" >&2
  exit 1
}

ask health 200 '"status": ?"ok"' /health
ask ready 200 '"status": ?"ready"' /ready
ask models 200 '"object": ?"list"' /v1/models
model=$(curl --silent --max-time 60 "${headers[@]}" "$base/v1/models" | sed -E 's/.*"data": ?\[\{"id": ?"([^"]+)".*/\1/')
ask "model $model" 200 '"defaults"' "/v1/models/$model"
chat='"messages":[{"role":"user","content":"What is the capital of France?"}],"max_tokens":16,"temperature":0'
ask chat 200 '"finish_reason":"(stop|length)"' /v1/chat/completions "{\"model\":\"$model\",$chat}"
ask 'chat, streamed' 200 '^data: \[DONE\]' /v1/chat/completions "{\"model\":\"$model\",\"stream\":true,$chat}"
ask completion 200 '"object":"text_completion"' /v1/completions \
  "{\"model\":\"$model\",\"prompt\":\"Once upon a time\",\"max_tokens\":8}"
ask 'structured output' 200 '"(red|green)\\?"' /v1/chat/completions \
  "{\"model\":\"$model\",$chat,\"structured_outputs\":{\"choice\":[\"red\",\"green\"]}}"
ask 'tool call' 200 '"name":"get_weather"' /v1/chat/completions "{\"model\":\"$model\",
  \"messages\":[{\"role\":\"user\",\"content\":\"What is the weather in Paris?\"}],\"tool_choice\":\"required\",
  \"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\",
  \"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":20}},\"required\":[\"city\"]}}}],\"max_tokens\":100}"
ask 'response' 200 '"object":"response"' /v1/responses \
  "{\"model\":\"$model\",\"input\":\"What is the capital of France?\",\"max_output_tokens\":16}"
ask 'response, counted' 200 '"input_tokens":' /v1/responses/input_tokens "{\"model\":\"$model\",\"input\":\"Hello.\"}"
ask 'response, summed up' 200 '"type":"compaction"' /v1/responses/compact "{\"model\":\"$model\",\"input\":\"Hello.\"}"
ask 'stored chats' 200 '"object":"list"' /v1/chat/completions
ask 'conversation' 200 '"object":"conversation"' /v1/conversations \
  '{"items":[{"role":"user","content":"What is the capital of France?"}]}'
ask files 200 '"object":"list"' /v1/files
ask batches 200 '"object":"list"' /v1/batches
ask decision 200 '"probability":' /v1/decisions "{\"model\":\"$model\",\"input\":\"It snows.\",
  \"questions\":[{\"type\":\"predicate\",\"instructions\":\"It is cold.\"}]}"
ask explanation 200 '"object":"decoding.explanation"' /v1/decoding/explain \
  "{\"model\":\"$model\",\"prompt\":\"Once upon a time\",\"steps\":2}"
ask rerank 200 '"relevance_score":' /v1/rerank \
  "{\"model\":\"$model\",\"query\":\"weather\",\"documents\":[\"It snows.\",\"A cat.\"]}"
ask 'message' 200 '"type":"message"' /v1/messages \
  "{\"model\":\"$model\",\"max_tokens\":16,\"messages\":[{\"role\":\"user\",\"content\":\"What is the capital of France?\"}]}"
ask embedding 200 '"embedding":\[' /v1/embeddings "{\"model\":\"$model\",\"input\":\"caravan\"}"
ask tokens 200 '"tokens":\[' /tokenize "{\"model\":\"$model\",\"prompt\":\"caravan\"}"
ask 'Ollama chat' 200 '"done":true' /api/chat \
  "{\"model\":\"$model\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"options\":{\"num_predict\":4}}"
ask 'Ollama models' 200 '"models":\[\{' /api/tags
ask 'llama.cpp completion' 200 '"stop_type":"' /completion "{\"model\":\"$model\",\"prompt\":\"Once\",\"n_predict\":4}"
ask 'llama.cpp properties' 200 '"n_ctx":' "/props?model=$model"
ask 'wrong field' 400 '"param":"temperature"' /v1/chat/completions \
  "{\"model\":\"$model\",$chat,\"temperature\":-1}"
ask 'wrong model' 404 '"code":"model_not_found"' /v1/chat/completions "{\"model\":\"no-such-model\",$chat}"
ask metrics 200 '^caravan_' /metrics
ask load 200 '"server_load":[0-9]' /load
echo "all well at $base"
