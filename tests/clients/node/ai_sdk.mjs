// Vercel's AI SDK with its two providers: `node ai_sdk.mjs BASE_URL MODEL`.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, jsonSchema, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import { assert, baseURL, city, joined, model, person, question, report, run, weather } from "./steps.mjs";

const compatible = createOpenAICompatible({ name: "caravan", baseURL, includeUsage: true, supportsStructuredOutputs: true });
const openai = createOpenAI({ baseURL, apiKey: "none" });
const common = { temperature: 0, maxRetries: 0 };

/** The steps of one provider's models. */
function of(name, chosen) {
  const asked = [];
  const get_weather = tool({
    description: "Get the weather of a city.",
    inputSchema: jsonSchema(city),
    execute: ({ city }) => {
      asked.push(city);
      return report;
    },
  });
  const round = { model: chosen, prompt: weather, tools: { get_weather }, stopWhen: stepCountIs(3), ...common };
  const invented = { model: chosen, prompt: "Invent a person.", schema: jsonSchema(person), ...common };
  return {
    async [`${name} chat`]() {
      const answer = await generateText({ model: chosen, prompt: question, ...common });
      assert.match(answer.text, /Paris/);
      assert.equal(answer.finishReason, "stop");
      assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
      assert.deepEqual(answer.warnings ?? [], []);
    },
    async [`${name} stream`]() {
      const answer = streamText({ model: chosen, prompt: question, ...common });
      assert.match(await joined(answer.textStream), /Paris/);
      assert.ok((await answer.usage).outputTokens > 0);
    },
    async [`${name} tools`]() {
      const answer = await generateText(round);
      assert.match(answer.text, /21/);
      assert.deepEqual(asked.splice(0), ["Paris"]);
      assert.equal(answer.steps.length, 2);
    },
    async [`${name} streamed tools`]() {
      const answer = streamText(round);
      assert.match(await joined(answer.textStream), /21/);
      assert.deepEqual(asked.splice(0), ["Paris"]);
    },
    async [`${name} required tools`]() {
      const answer = await generateText({ ...round, toolChoice: "required", stopWhen: stepCountIs(1) });
      assert.equal(answer.toolCalls[0].toolName, "get_weather");
      asked.splice(0);
    },
    async [`${name} objects`]() {
      const { object } = await generateObject(invented);
      assert.equal(typeof object.age, "number");
      const stream = streamObject(invented);
      for await (const _ of stream.partialObjectStream);
      assert.equal(typeof (await stream.object).age, "number");
      const { output } = await generateText({ model: chosen, prompt: "Invent a person.", output: Output.object({ schema: jsonSchema(person) }), ...common });
      assert.equal(typeof output.age, "number");
    },
  };
}

await run({
  ...of("compatible", compatible(model)),
  ...of("openai.chat", openai.chat(model)),
  ...of("openai.responses", openai.responses(model)),
  async thoughts() {
    const thinking = { model: compatible(model), prompt: question, ...common, providerOptions: { caravan: { reasoningEffort: "low" } } };
    const { reasoningText, text } = await generateText(thinking);
    assert.ok(reasoningText);
    assert.match(text, /Paris/);
  },
  async completions() {
    const answer = await generateText({ model: compatible.completionModel(model), prompt: "Once upon a time", maxOutputTokens: 10 });
    assert.ok(answer.text);
  },
  async embeddings() {
    for (const provider of [compatible, openai]) {
      const embedder = (provider.embeddingModel ?? provider.textEmbeddingModel)(model);
      const { embeddings } = await embedMany({ model: embedder, values: ["the wind", "the trees"] });
      assert.equal(embeddings.length, 2);
    }
  },
  async errors() {
    const wrong = generateText({ model: compatible("no-such-model"), prompt: question, maxRetries: 0 });
    await assert.rejects(wrong, (error) => APICallError.isInstance(error) && error.statusCode === 404);
    await assert.rejects(generateText({ model: compatible(model), prompt: question, ...common, temperature: 900 }), /temperature/);
  },
});
