"""Fields whose meaning in one shape is another than that of their name elsewhere, by the shape."""

from caravan_schemas.glossary import batches

_OPENAI = {
    "AssistantReply": {"content": "The text of the answer; null where there are only calls."},
    "ChatChoice": {"message": "The model's turn."},
    "ChatDelta": {"content": "The next piece of the text."},
    "ChatLogprobs": {"content": "The tokens of the text, in their order."},
    "CompletionChoice": {"text": "What was generated; with `echo`, after the prompt."},
    "CustomCallDelta": {"input": "A piece of the tool's input."},
    "FunctionCallDelta": {"arguments": "A piece of the arguments' JSON."},
    "JsonObjectFormat": {"schema": "An extension: a JSON schema that the object satisfies."},
    "NamedSchema": {"name": "A name for the schema. It has no effect."},
    "FlatSchemaFormat": {"name": "A name for the schema. It has no effect."},
    "TextLogprobs": {
        "tokens": "The text of each token.",
        "top_logprobs": "For each token, the likeliest in its place and itself, and their log probabilities.",
    },
    "PromptProgress": {
        "total": "How many tokens the prompt has.",
        "cache": "How many of them were in the cache already.",
        "processed": "How many of them have been computed or were in the cache.",
        "time_ms": "Since the prompt's turn has come, in milliseconds.",
    },
    "FunctionMessage": {"name": "The name of the function."},
    "Embedding": {"embedding": "The vector: numbers, or their bytes in base64."},
    "TokenizeResponse": {"count": "How many tokens there are."},
    "TokenPiece": {
        "id": "The token's id.",
        "piece": "The token's text, or its bytes as numbers where they are no whole characters.",
    },
    "DetokenizeResponse": {
        "prompt": "The text, as vLLM names it.",
        "content": "The text, as llama.cpp names it.",
    },
    "ApplyTemplateResponse": {"prompt": "The prompt as the model would get it."},
}

_RESPONSES = {
    "Response": {
        "background": "Whether it is made in the background.",
        "status": "How far it has come.",
        "output": "The items that the model has written.",
        "text": "The format of the text in effect.",
        "reasoning": "The options of reasoning in effect.",
        "instructions": "The system message before the conversation.",
        "max_output_tokens": "The most tokens that are generated; null where the context is the limit.",
        "max_tool_calls": "Given back, without effect: it limits calls of OpenAI's own tools.",
        "parallel_tool_calls": "Whether the model may make several calls in a turn.",
        "previous_response_id": "The response whose conversation this one goes on with.",
        "prompt_cache_key": "Given back, without effect: equal prefixes are found without it.",
        "prompt_cache_retention": "Given back, without effect.",
        "safety_identifier": "Given back, without effect.",
        "temperature": "The temperature in effect.",
        "top_p": "The `top_p` in effect.",
        "top_logprobs": "How many of the likeliest tokens are returned for each position.",
        "tool_choice": "Which tools are to be called.",
        "tools": "The tools that the model may call.",
        "truncation": "What happens to a conversation that is too long.",
        "user": "A label of the caller's own. It has no effect.",
        "conversation": "The stored conversation that this response belongs to.",
        **dict.fromkeys(
            (
                *("access_programs", "image", "input_transformations", "moderation", "prompt"),
                *("prompt_cache_diagnostics", "prompt_cache_options", "tool_usage"),
            ),
            "Always null: only OpenAI's service has it.",
        ),
    },
    "ShownReasoning": {
        "effort": "How much the model is to think.",
        "summary": "Whether thoughts are given as summaries.",
    },
    "ShownText": {"format": "What the text is.", "verbosity": "How long answers are to be."},
    "IncompleteDetails": {"reason": "What it was: the limit on tokens."},
    "InputItem": {
        "id": "The item's id, where it is one of an earlier response.",
        "status": "How far the item has come. It has no effect.",
    },
    "OutputMessage": {"content": "The parts of the message.", "status": "How far the item has come."},
    "OutputReasoning": {"content": "The thought, in parts.", "status": "How far the item has come."},
    "OutputCall": {"status": "How far the item has come."},
    "PastText": {"annotations": "Not read.", "logprobs": "Not read."},
    "PastReasoning": {"content": "The thought, in parts."},
    "FlatCallOutput": {
        "name": "The function's name, where its call is not in the conversation.",
        "call_id": "The call whose result this is.",
        "output": "What the function returned.",
    },
    "FlatCustomCallOutput": {
        "call_id": "The call whose result this is.",
        "output": "What the tool returned.",
    },
    "ResponseEvent": {"response": "The response as it is now."},
    "ErrorEvent": {"type": "Always `error`."},
    "CallDelta": {"delta": "The next piece of the call's arguments or input."},
    "CompactedResponse": {"output": "What is left of the conversation."},
    "Namespace": {"name": "The name of the namespace.", "tools": "The tools of the namespace."},
    "ConversationReference": {"id": "The conversation's id."},
}

_DECISIONS = {
    "Choice": {"value": "What the model may answer."},
    "ChoiceProbability": {"value": "What the model may answer."},
    "LevelProbability": {"value": "The place of the level, from 0."},
    "ChoiceAnswer": {"choice": "The likeliest of the choices.", "name": "The name of the question."},
    "PredicateAnswer": {
        "name": "The name of the question.",
        "probability": "How likely it is that the statement is true.",
    },
    "ScoreAnswer": {
        "name": "The name of the question.",
        "score": "The mean of the levels' places, by their probabilities.",
    },
    "Decision": {"answers": "The answers, in the order of the questions."},
    "DecisionUsage": {"output_tokens": "How many tokens of labels were looked at."},
    "Reranking": {
        "results": "The documents, the best first.",
        "meta": "The tokens, where Cohere's clients read them.",
    },
    "CohereMeta": {"tokens": "The tokens, under Cohere's names."},
    "RankedDocument": {
        "index": "The place of the document in the request.",
        "relevance_score": "How well the document meets the query, from 0 to 1.",
        "document": "The document, if it was asked for.",
    },
    "PairScore": {"score": "How well the second text meets the first, from 0 to 1."},
}

_OTHERS = {
    "ControlAnswer": {
        "success": "Whether the action was passed on.",
        "message": "Why it was not.",
    },
    "LlamaEmbedding": {"embedding": "The vector, as the only one of a list."},
    "LlamaDefaults": {"params": "The decoding parameters where a request says nothing."},
    "LlamaModalities": dict.fromkeys(("vision", "audio", "video"), "Always false: models read text."),
    "LlamaProps": {
        "default_generation_settings": "The decoding where a request says nothing.",
        "total_slots": "How many texts are written at once.",
        "model_alias": "The model, by its name.",
        "model_ftype": "How the weights are quantized.",
        "modalities": "What the model reads besides text.",
        "endpoint_slots": "That there is `GET /slots`.",
        "endpoint_props": "Always false: properties are not changed by requests.",
        "endpoint_metrics": "That there is `GET /metrics`.",
        "chat_template_caps": "What the chat template shows of a conversation.",
        "bos_token": "The text of the token that begins a prompt.",
        "eos_token": "The text of the token that ends an answer.",
        "build_info": "The version of the server.",
        "is_sleeping": "Always false.",
    },
    "LlamaSlot": {
        "speculative": "Always false.",
        "is_processing": "Whether a text is being written here.",
        "id": "The number of the place.",
    },
    "OllamaErrorResponse": {"error": "What went wrong, in words for people."},
    "OllamaReply": {"content": "What the model says, or what a line adds to it."},
    "OllamaTimings": {
        "created_at": "When the line was written.",
        "done": "Whether this is the last line.",
        "done_reason": "Why the answer ended.",
        "total_duration": "From the arrival of the request, in nanoseconds.",
        "load_duration": "The wait for the model, in nanoseconds.",
        "prompt_eval_count": "How many tokens prompt or inputs have, cached ones included.",
        "prompt_eval_duration": "From the prompt's turn in the engine to the first token, in nanoseconds.",
        "eval_count": "How many tokens were generated.",
        "eval_duration": "From the first token to the last, in nanoseconds.",
    },
    "OllamaChatAnswer": {"message": "The model's turn, or what a line adds to it."},
    "OllamaGenerateAnswer": {"response": "The text, or what a line adds to it."},
    "OllamaEmbedAnswer": {
        "embeddings": "The vectors, in the order of the inputs.",
        "total_duration": "From the arrival of the request, in nanoseconds.",
        "load_duration": "The wait for the model, in nanoseconds.",
        "prompt_eval_count": "How many tokens prompt or inputs have, cached ones included.",
    },
    "OllamaEmbeddingsAnswer": {"embedding": "The vector."},
    "OllamaModel": {
        "name": "The model, by its name.",
        "size": "The size of the model's file, in bytes.",
        "details": "What the model's file says of itself.",
    },
    "OllamaLoadedModel": {
        "name": "The model, by its name.",
        "size": "The memory that the model may take, in bytes.",
        "size_vram": "What of it is a GPU's, in bytes.",
        "expires_at": "When the model goes if nobody uses it; the end of time where nobody has said.",
        "details": "What the model's file says of itself.",
    },
    "OllamaModelDetails": {"format": "Always `gguf`."},
    "OllamaShown": {"details": "What the model's file says of itself."},
    "OllamaVersion": {"version": "Of the Ollama whose API this follows."},
    "MessageUsage": {
        "input_tokens": "How many tokens of the prompt were computed for this request.",
        "cache_creation_input_tokens": "Always 0: what is cached costs nothing more.",
        "cache_read_input_tokens": "How many tokens of the prompt were in the cache already.",
    },
    "MessageAnswer": {"content": "The blocks of the answer."},
    "MessageStartEvent": {"message": "The message as it begins."},
    "MessagesModel": {"created_at": "When it was made, as a text."},
    "MessagesErrorDetail": {"type": "What went wrong, in Anthropic's words."},
    "ErrorDetail": {"type": "What went wrong, in OpenAI's words."},
    "PlainSource": {"data": "The text of the document."},
    "DocumentBlock": {"source": "The document itself."},
    "ToolResult": {"content": "What the tool returned."},
    "ThinkingOptions": {"type": "Whether the model thinks (`enabled`, `adaptive`) or not (`disabled`)."},
}

_MODELS = {
    "Health": {"status": "Always `ok`."},
    "Readiness": {"status": "Whether a request for text would be taken now."},
    "ModelCard": {"status": "Whether the model is loaded."},
    "ModelStatus": {
        "status": "Whether the model is loaded.",
        "prompt_tokens": "How many tokens of prompts the model has had since it was loaded.",
        "cached_tokens": "How many of them were in the cache already.",
        "memory_bytes": "The memory that its engine uses, in bytes.",
    },
    "ServerStatus": {
        "version": "The version of this server.",
        "memory_bytes": "The memory that all uses, in bytes.",
    },
    "ModelDefault": {"source": "Who has set it."},
    "ModelDetails": {
        "chat_template": "What the chat template shows of a conversation; null until the model is loaded.",
        "max_draft_tokens": "How many tokens are guessed ahead at most: 0 where that is off, or the model's "
        "memory cannot forget a wrong guess. Null until the model is loaded.",
        "prefix_reuse": "Where a prompt can go on from another in memory that begins alike: `anywhere`, at "
        "`checkpoints` such as the end of a turn, or from a `whole` text and its answer. Null until the "
        "model is loaded.",
    },
    "TemplateDetails": {
        "system": "Whether it shows system messages.",
        "developer": "Whether it shows messages of developers.",
        "tools": "Whether it shows tools.",
        "tool_calls": "Whether it shows calls of tools.",
        "parallel_tool_calls": "Whether it shows several calls in a turn.",
        "tool_results": "Whether it shows results of tools.",
        "reasoning": "Whether it shows thoughts.",
        "continues_answers": "Whether the last answer of a conversation can be continued.",
        "adaptations": "How what it does not show is shown otherwise.",
        "tool_format": "The format in which calls are read; null where there is none.",
        "is_guess": "Whether the format does not follow from the template.",
    },
}

SENSES = _OPENAI | _RESPONSES | _DECISIONS | _OTHERS | _MODELS | batches.SENSES
