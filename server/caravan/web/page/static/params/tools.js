// The tools that the model may call, as JSON.
import { clearFaults, faults } from "../chat/faults.js";
import { html, useStore } from "../lib/preact.js";
import { settings } from "./settings.js";

const EXAMPLE = `[{"name": "get_weather", "description": "Get the weather of a city.",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]`;
/** @type {Record<string, string>} */
const CHOICES = { "": "the model decides", required: "a call is required", none: "no call" };

export function ToolsEditor() {
  const { tools, toolChoice } = useStore(settings, (state) => state);
  const fault = useStore(faults, (state) => state.byField.tools);
  const change = (/** @type {any} */ event) => {
    settings.set({ tools: event.currentTarget.value });
    clearFaults();
  };
  const isThere = tools.trim() !== "";
  return html`
    <details class="row is-tall tools" open=${isThere || Boolean(fault)}>
      <summary class="row-label">Tools${isThere && html`<span class="badge">on</span>`}</summary>
      <textarea class="input is-code" rows="5" spellcheck="false" aria-label="Tools" placeholder=${EXAMPLE} value=${tools}
        aria-invalid=${Boolean(fault)} aria-describedby="tools-fault" onInput=${change} />
      ${isThere
        ? html`<select class="select" aria-label="Tool choice" value=${toolChoice}
            onChange=${(/** @type {any} */ event) => settings.set({ toolChoice: event.currentTarget.value })}>
            ${Object.entries(CHOICES).map(([value, title]) => html`<option key=${value} value=${value} selected=${value === toolChoice}>${title}</option>`)}
          </select>`
        : html`<button type="button" class="button is-quiet" onClick=${() => settings.set({ tools: EXAMPLE })}>Put in an example</button>`}
      <p id="tools-fault" class="field-error" role="alert">${fault ?? ""}</p>
    </details>
  `;
}
