// A column of a comparison: what it is asked with, what it answers, and what that measures.
import { modelStore, usable } from "../api/models.js";
import { html, Icon, useStore } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { measures } from "./column_run.js";
import { changeColumn, removeColumn } from "./comparison.js";
import { measure } from "./measures.js";
import { Overrides } from "./overrides.js";

/**
 * @param {{
 *   column: import("./comparison.js").Column, place: number, outcome: import("./comparison.js").Outcome | null,
 *   isOnly: boolean,
 * }} props
 */
export function CompareColumn({ column, place, outcome, isOnly }) {
  const { id, model, changes } = column;
  const models = useStore(modelStore, (state) => state.models);
  const title = `Column ${place + 1}`;
  return html`
    <section class="lab-column" aria-label=${title} aria-busy=${outcome?.isRunning ?? false}>
      <div class="lab-column-head">
        <h2>${title}</h2>
        <select class="select" aria-label=${`Model of column ${place + 1}`} value=${model}
          onChange=${(/** @type {any} */ event) => changeColumn(id, { model: event.currentTarget.value })}>
          <option value="">as chosen above</option>
          ${usable(models).map((one) => html`<option key=${one.id} value=${one.id} selected=${one.id === model}>${one.id}</option>`)}
        </select>
        <button type="button" class="icon-button is-small" aria-label=${`Remove column ${place + 1}`} disabled=${isOnly}
          onClick=${() => removeColumn(id)}><${Icon} path=${ICONS.close} /></button>
      </div>
      <${Overrides} id=${id} changes=${changes} onChange=${(/** @type {Record<string, unknown>} */ now) => changeColumn(id, { changes: now })} />
      ${outcome && html`<${Outcome} outcome=${outcome} />`}
    </section>
  `;
}

/** @param {{ outcome: import("./comparison.js").Outcome }} props */
function Outcome({ outcome: { answer, isRunning, fault } }) {
  const told = measures(answer);
  return html`
    <p class="lab-answer plain">${answer.text}${isRunning && html`<span class="cursor" aria-hidden="true"></span>`}</p>
    ${fault && html`<p class="field-error" role="alert">${fault.message}</p>`}
    <dl class="lab-facts is-grid">
      <${Fact} name="tokens" value=${answer.finish ? `${told.count} (${answer.finish})` : String(told.count)} />
      <${Fact} name="tokens/s" value=${measure(told.perSecond, 1)} />
      <${Fact} name="first token" value=${measure(told.first === null ? null : told.first * 1000, 0, "ms")} />
      <${Fact} name="cached" value=${told.numCached === null ? "–" : `${told.numCached} of ${told.numPrompt}`} />
      <${Fact} name="distinct-2" value=${measure(told.distinct, 2)} />
      <${Fact} name="mean surprise" value=${measure(told.surprise, 2, "bits")} />
    </dl>
  `;
}

/** @param {{ name: string, value: string }} props */
function Fact({ name, value }) {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}
