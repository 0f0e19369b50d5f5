// Compare: one prompt, answered with different parameters or models side by side, or with one parameter's values.
import { CountInput } from "../lib/count_input.js";
import { html, useStore } from "../lib/preact.js";
import { addColumn, compare, comparison, FEWEST, MOST, outcomes, stopComparison } from "./comparison.js";
import { CompareColumn } from "./compare_column.js";
import { askedOf, PromptInput } from "./prompt_input.js";
import { session } from "./session.js";
import { SweepSection } from "./sweep_section.js";

export function View() {
  const { columns, maxTokens, isInTurn } = useStore(comparison, (state) => state);
  const { outcomes: all, seed } = useStore(outcomes, (state) => state);
  const prompt = useStore(session, (state) => state.prompt);
  const isRunning = Object.values(all).some((outcome) => outcome.isRunning);
  const asked = askedOf(prompt);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (asked) compare(asked);
  };
  return html`
    <div class="lab">
      <h1>Compare</h1>
      <p class="lab-lead">One prompt, two to four answers side by side. All draw from the same seed.</p>
      <form class="lab-form" onSubmit=${submit}>
        <${PromptInput} onSubmit=${submit} onStop=${isRunning ? stopComparison : null} />
        <div class="lab-form-end">
          <label class="lab-steps"><span>tokens at most</span>
            <${CountInput} value=${maxTokens} most=${4096}
              onCount=${(/** @type {number} */ count) => comparison.set({ maxTokens: count })} />
          </label>
          <label class="lab-check"><input type="checkbox" checked=${isInTurn}
            onChange=${(/** @type {any} */ event) => comparison.set({ isInTurn: event.currentTarget.checked })} />
            one after another, for speeds that can be compared</label>
          ${seed !== null && html`<span class="quiet">seed ${seed}</span>`}
          ${isRunning
            ? html`<button key="stop" type="button" class="button" onClick=${stopComparison}>Stop</button>`
            : html`<button key="go" type="submit" class="button is-first" disabled=${!asked}>Compare</button>`}
        </div>
      </form>
      <div class=${`lab-columns has-${columns.length}`}>
        ${columns.map((column, place) => html`
          <${CompareColumn} key=${column.id} column=${column} place=${place} outcome=${all[column.id] ?? null}
            isOnly=${columns.length <= FEWEST} />`)}
      </div>
      ${columns.length < MOST && html`
        <button type="button" class="button lab-add-column" onClick=${addColumn}>Add a column</button>`}
      <${SweepSection} asked=${asked} />
    </div>
  `;
}
