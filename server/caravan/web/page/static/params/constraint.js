// What the answer has to keep to, with the server's own words where it cannot.
import { ApiError, request } from "../api/client.js";
import { clearFaults, faults, showFaults } from "../chat/faults.js";
import { html, useState, useStore } from "../lib/preact.js";
import { buildBody } from "../request/body.js";
import { settings } from "./settings.js";

/** @type {Record<string, { title: string, hint: string }>} */
const KINDS = {
  "": { title: "free", hint: "" },
  json_object: { title: "any JSON object", hint: "" },
  json_schema: {
    title: "a JSON schema",
    hint: '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}',
  },
  grammar: { title: "a grammar (GBNF)", hint: 'root ::= "yes" | "no"' },
  regex: { title: "a regular expression", hint: "[A-Z][a-z]+" },
  choice: { title: "one of these lines", hint: "yes\nno" },
};

export function ConstraintEditor() {
  const { kind, text } = useStore(settings, (state) => state.constraint);
  const fault = useStore(faults, (state) => state.byField.constraint);
  const [told, setTold] = useState("");
  const { hint } = KINDS[kind] ?? KINDS[""];
  const change = (/** @type {{ kind?: string, text?: string }} */ part) => {
    settings.set({ constraint: { kind, text, ...part } });
    clearFaults();
    setTold("");
  };
  const look = async () => {
    const asked = settings.get().constraint;
    const answer = await check();
    // What has been written since was not looked at.
    if (settings.get().constraint !== asked) return;
    setTold(answer.told);
    if (answer.faults.length) showFaults(answer.faults);
  };
  return html`
    <div class="row is-tall">
      <label class="row-label" for="constraint-kind">Answer is</label>
      <select id="constraint-kind" class="select" value=${kind} onChange=${(/** @type {any} */ event) => change({ kind: event.currentTarget.value })}>
        ${Object.entries(KINDS).map(([value, { title }]) => html`<option key=${value} value=${value} selected=${value === kind}>${title}</option>`)}
      </select>
      ${hint && html`
        <textarea class="input is-code" rows="5" spellcheck="false" aria-label="Constraint" aria-invalid=${Boolean(fault)}
          aria-describedby="constraint-fault" placeholder=${hint} value=${text}
          onInput=${(/** @type {any} */ event) => change({ text: event.currentTarget.value })} />
        <div class="row-end">
          <span class="quiet" role="status">${told}</span>
          <button type="button" class="button is-quiet" disabled=${!text.trim()} onClick=${look}>Check</button>
        </div>`}
      <p id="constraint-fault" class="field-error" role="alert">${fault ?? ""}</p>
    </div>
  `;
}

/**
 * Have the server compile it, and write nothing.
 * @returns {Promise<{ told: string, faults: import("../request/body.js").Fault[] }>} what to tell the reader
 */
async function check() {
  const { model, constraint } = settings.get();
  const alone = { model, constraint, preset: "", parameters: {}, thinking: /** @type {const} */ (""), tools: "", toolChoice: "" };
  const { body, faults: found } = buildBody({ system: "", path: [], settings: alone });
  if (found.length) return { told: "", faults: found };
  const { stream: _, stream_options: __, ...whole } = body;
  try {
    const response = await request("v1/chat/completions", { body: { ...whole, messages: [{ role: "user", content: "." }], n_predict: 0 } });
    const unheld = response.headers.get("x-caravan-unenforced");
    const told = unheld ? `The server holds answers to it, but for ${unheld}.` : "The server can hold answers to it.";
    return { told, faults: [] };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { told: "", faults: [{ field: (error instanceof ApiError && error.param) || "constraint", message }] };
  }
}
