// OpenAI's client for Node: `node conversation.mjs BASE_URL MODEL`.
import OpenAI from "openai";
import { assert, baseURL, model, person, question, report, run, tools, weather } from "./steps.mjs";

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const asked = [{ role: "user", content: weather }];
const documented = await (await fetch(new URL("/openapi.json", baseURL))).json();

await run({
  async chat() {
    const answer = await client.chat.completions.create({ model, messages, temperature: 0 });
    assert.match(answer.choices[0].message.content, /Paris/);
  },
  async stream() {
    const stream = await client.chat.completions.create({ model, messages, temperature: 0, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    assert.match(text, /Paris/);
  },
  async parse() {
    const answer = await client.chat.completions.parse({
      model,
      messages: [{ role: "user", content: "Invent a person." }],
      response_format: { type: "json_schema", json_schema: { name: "person", schema: person, strict: false } },
      temperature: 0,
    });
    assert.equal(typeof JSON.parse(answer.choices[0].message.content).age, "number");
  },
  async "stream helper"() {
    const stream = client.chat.completions.stream({ model, messages: asked, tools, temperature: 0 });
    const answer = await stream.finalChatCompletion();
    assert.deepEqual(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments), { city: "Paris" });
  },
  async "tools run by the client"() {
    const cities = [];
    const runnable = { ...tools[0], function: { ...tools[0].function, parse: JSON.parse, function: ({ city }) => {
      cities.push(city);
      return report;
    } } };
    const runner = client.chat.completions.runTools({ model, messages: asked, tools: [runnable], temperature: 0 });
    assert.match(await runner.finalContent(), /21/);
    assert.deepEqual(cities, ["Paris"]);
  },
  async completions() {
    const answer = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 10 });
    assert.ok(answer.choices[0].text);
  },
  async errors() {
    await assert.rejects(client.chat.completions.create({ model: "no-such-model", messages }), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create({ model, messages, temperature: 900 }), { param: "temperature" });
  },
  async responses() {
    if (!documented.paths["/v1/responses"]) return "the server has no /v1/responses";
    const answer = await client.responses.create({ model, input: messages[0].content, temperature: 0 });
    assert.match(answer.output_text, /Paris/);
  },
  async "stored chats"() {
    const made = await client.chat.completions.create({ model, messages, temperature: 0, store: true, metadata: { of: "node" } });
    const found = [];
    for await (const chat of client.chat.completions.list({ metadata: { of: "node" }, limit: 1 })) found.push(chat.id);
    assert.deepEqual(found, [made.id]);
    const asked = [];
    for await (const message of client.chat.completions.messages.list(made.id)) asked.push(message.content);
    assert.deepEqual(asked, [messages[0].content]);
    assert.equal((await client.chat.completions.delete(made.id)).deleted, true);
  },
  async conversations() {
    if (!documented.paths["/v1/conversations"]) return "the server has no /v1/conversations";
    const conversation = (await client.conversations.create({ metadata: { of: "node" } })).id;
    const answer = await client.responses.create({ model, input: messages[0].content, conversation, temperature: 0 });
    const said = [];
    const items = client.conversations.items.list(conversation, { limit: 1, order: "asc" });
    for await (const item of items) said.push(item.content[0].text);
    assert.deepEqual(said, [messages[0].content, answer.output_text]);
    assert.equal((await client.conversations.delete(conversation)).deleted, true);
  },
  async embeddings() {
    if (!documented.paths["/v1/embeddings"]) return "the server has no /v1/embeddings";
    // The client asks for base64 unless told otherwise, and decodes it.
    const answer = await client.embeddings.create({ model, input: ["the wind", "the trees"] });
    assert.equal(answer.data.length, 2);
    assert.equal(typeof answer.data[0].embedding[0], "number");
  },
});
