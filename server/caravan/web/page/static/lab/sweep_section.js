// The sweep of one parameter: what to sweep, and what came of it as small multiples.
import { CountInput } from "../lib/count_input.js";
import { html, useStore } from "../lib/preact.js";
import { specStore } from "../params/specs.js";
import { numeric } from "./overrides.js";
import { SweepChart } from "./sweep_chart.js";
import { MOST, MOST_STEPS, numbers, runSweep, stopSweep, sweep } from "./sweep.js";

/** Values to begin with, where a few evenly spread ones would not do. @type {Record<string, string>} */
const VALUES = {
  temperature: "0, 0.3, 0.6, 0.9, 1.2, 1.5",
  top_k: "1, 5, 20, 40, 100, 0",
  top_p: "0.1, 0.5, 0.8, 0.9, 0.95, 1",
  min_p: "0, 0.01, 0.05, 0.1, 0.3",
  typical_p: "0.2, 0.5, 0.8, 0.95, 1",
  top_n_sigma: "0.5, 1, 1.5, 2, 3",
  repeat_penalty: "1, 1.05, 1.1, 1.2, 1.5",
  presence_penalty: "-1, 0, 0.5, 1, 2",
  frequency_penalty: "-0.5, 0, 0.25, 0.5, 1",
};

/** @param {{ asked: Record<string, unknown> | null }} props */
export function SweepSection({ asked }) {
  const { name, values, steps, swept, trials, isBusy, fault } = useStore(sweep, (state) => state);
  const specs = useStore(specStore, (state) => state.specs);
  const read = numbers(values);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (asked && read) runSweep(asked, read);
  };
  const choose = (/** @type {any} */ event) => {
    const chosen = event.currentTarget.value;
    sweep.set({ name: chosen, values: VALUES[chosen] ?? "" });
  };
  return html`
    <section class="lab-sweep" aria-labelledby="sweep-title" aria-busy=${isBusy}>
      <h2 id="sweep-title">Sweep</h2>
      <p class="quiet">The same prompt and seed with several values of one parameter. The prompt is computed once for all.</p>
      <form class="lab-sweep-form" onSubmit=${submit}>
        <label class="field"><span>parameter</span>
          <select class="select" onChange=${choose}>
            ${numeric(specs).map((spec) => html`<option key=${spec.name} value=${spec.name} selected=${spec.name === name}>${spec.name}</option>`)}
          </select></label>
        <label class="field lab-values"><span>values, up to ${MOST}</span>
          <input class="input" value=${values} aria-invalid=${read === null} aria-describedby=${read ? undefined : "sweep-fault"}
            onInput=${(/** @type {any} */ event) => sweep.set({ values: event.currentTarget.value })} /></label>
        <label class="field lab-few"><span>tokens</span>
          <${CountInput} value=${steps} most=${MOST_STEPS} onCount=${(/** @type {number} */ count) => sweep.set({ steps: count })} /></label>
        ${isBusy
          ? html`<button key="stop" type="button" class="button" onClick=${stopSweep}>Stop</button>`
          : html`<button key="go" type="submit" class="button is-first" disabled=${!asked || !read}>Sweep</button>`}
      </form>
      ${read === null && html`<p class="field-error" id="sweep-fault">Write one to ${MOST} numbers, with commas between them.</p>`}
      ${fault && html`<p class="field-error" role="alert">${fault.message}</p>`}
      ${trials.length > 0 && html`<${SweepChart} name=${swept} trials=${trials} />`}
    </section>
  `;
}
