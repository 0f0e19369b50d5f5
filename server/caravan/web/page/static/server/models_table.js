// The models, with their numbers, and buttons that load and unload them.
import { request } from "../api/client.js";
import { loadModels, pathPart } from "../api/models.js";
import { announce } from "../lib/announce.js";
import { html, useState } from "../lib/preact.js";
import { read } from "./readings.js";
import { percent, size, whole } from "./words.js";

/** @typedef {import("./readings.js").ModelStatus} ModelStatus */

/** @param {{ models: ModelStatus[] }} props */
export function ModelsTable({ models }) {
  return html`
    <div class="table-frame" role="region" aria-label="Models" tabindex="0">
      <table class="models">
        <thead>
          <tr>
            <th scope="col">Model</th><th scope="col">State</th><th scope="col">Change</th><th scope="col">Running</th>
            <th scope="col">Waiting</th><th scope="col">Cells</th><th scope="col">From memory</th>
            <th scope="col">Written</th><th scope="col">Memory</th><th scope="col">Restarts</th>
          </tr>
        </thead>
        <tbody>${models.map((model) => html`<${Row} key=${model.id} model=${model} />`)}</tbody>
      </table>
    </div>
  `;
}

/** @param {{ model: ModelStatus }} props */
function Row({ model }) {
  const { id, status, running, waiting, cells, cells_used: used, prompt_tokens: prompt, cached_tokens: cached } = model;
  return html`
    <tr>
      <th scope="row">${id}</th>
      <td><span class=${`state is-${status}`}>${status}</span></td>
      <td><${Change} model=${model} /></td>
      <td>${shown(running)}</td>
      <td>${shown(waiting)}</td>
      <td>${cells ? `${percent((used ?? 0) / cells)} of ${whole(cells)}` : "–"}</td>
      <td>${prompt ? percent((cached ?? 0) / prompt) : "–"}</td>
      <td>${shown(model.generated_tokens)}</td>
      <td>${model.memory_bytes ? size(model.memory_bytes) : "–"}</td>
      <td>${shown(model.restarts)}</td>
    </tr>
  `;
}

/** @param {{ model: ModelStatus }} props */
function Change({ model: { id, status } }) {
  const [state, setState] = useState({ isBusy: false, error: "" });
  const act = status === "loaded" ? "unload" : "load";
  const change = async () => {
    setState({ isBusy: true, error: "" });
    try {
      await request(`admin/models/${pathPart(id)}/${act}`, { method: "POST" });
      await Promise.all([read(), loadModels()]);
      announce(`${id} is ${act}ed.`);
      setState({ isBusy: false, error: "" });
    } catch (error) {
      setState({ isBusy: false, error: error instanceof Error ? error.message : String(error) });
    }
  };
  const isMoving = state.isBusy || status === "loading" || status === "unloading";
  return html`
    <button class="button" type="button" onClick=${change} disabled=${isMoving} aria-label=${`${named(act)} ${id}`}>
      ${state.isBusy ? "Wait…" : named(act)}
    </button>
    ${state.error && html`<p class="field-error" role="alert">${state.error}</p>`}
  `;
}

/** @param {string} act */
const named = (act) => (act === "load" ? "Load" : "Unload");

/** @param {number | undefined} count */
const shown = (count) => (count === undefined ? "–" : whole(count));
