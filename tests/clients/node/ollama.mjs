// Ollama's client for Node: `node ollama.mjs BASE_URL MODEL`.
import { Ollama } from "ollama";
import { assert, baseURL, model, question, report, run, tools, weather } from "./steps.mjs";

const client = new Ollama({ host: new URL(baseURL).origin });
const messages = [{ role: "user", content: question }];
const options = { temperature: 0 };

await run({
  async chat() {
    const answer = await client.chat({ model, messages, options });
    assert.match(answer.message.content, /Paris/);
    assert.ok(answer.eval_count > 0 && answer.total_duration >= answer.eval_duration);
  },
  async stream() {
    let text = "", last;
    for await (const line of await client.chat({ model: `${model}:latest`, messages, options, stream: true })) {
      text += line.message.content;
      last = line;
    }
    assert.match(text, /Paris/);
    assert.equal(last.done, true);
  },
  async abort() {
    const stream = await client.generate({ model, prompt: "Count.", options: { num_predict: 500 }, stream: true });
    await assert.rejects(async () => {
      for await (const _ of stream) client.abort();
    }, { name: "AbortError" });
  },
  async tools() {
    const asked = [{ role: "user", content: weather }];
    const { message } = await client.chat({ model, messages: asked, tools, options });
    const [call] = message.tool_calls;
    assert.deepEqual(call.function.arguments, { city: "Paris" });
    const result = { role: "tool", tool_name: call.function.name, content: report };
    const again = await client.chat({ model, messages: [...asked, message, result], tools, options });
    assert.match(again.message.content, /21/);
  },
  async format() {
    const format = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
    const asked = [{ role: "user", content: "Invent a person." }];
    const answer = await client.chat({ model, messages: asked, format, options });
    assert.equal(typeof JSON.parse(answer.message.content).age, "number");
  },
  async embeddings() {
    const answer = await client.embed({ model, input: ["the wind", "the trees"] });
    assert.equal(answer.embeddings.length, 2);
  },
  async models() {
    const { models } = await client.list();
    assert.ok(models.some(({ name }) => name === `${model}:latest`));
    assert.ok((await client.show({ model })).capabilities.includes("completion"));
    assert.equal((await client.ps()).models[0].name, `${model}:latest`);
    assert.ok((await client.version()).version);
  },
  async errors() {
    await assert.rejects(client.chat({ model: "no-such-model", messages }), /no-such-model/);
    await assert.rejects(client.chat({ model, messages, options: { temperature: 900 } }), /options\.temperature/);
    await assert.rejects(client.pull({ model }), /caravan pull/);
  },
});
