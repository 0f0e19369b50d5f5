// Everything that a request is made with besides its messages.
import { chooseModel, modelStore } from "../api/models.js";
import { faults } from "../chat/faults.js";
import { html, useState, useStore } from "../lib/preact.js";
import { ConstraintEditor } from "./constraint.js";
import { Control } from "./control.js";
import { settings } from "./settings.js";
import { effectiveDefault, loadSpecs, specStore } from "./specs.js";
import { ToolsEditor } from "./tools.js";

// Stages that are open at first: what people change most.
const OPEN = ["temperature", "truncation"];
/** @type {Record<string, string>} */
const TITLES = {
  "bias and bans": "Bias and bans",
  penalties: "Penalties",
  DRY: "DRY",
  truncation: "Truncation",
  temperature: "Temperature",
  draw: "Draw",
  end: "End",
};

/** @typedef {import("./specs.js").Spec} Spec */

export function ParameterPanel() {
  const { specs, error } = useStore(specStore, (state) => state);
  const fault = useStore(modelStore, (state) => state.fault);
  const chosen = useStore(settings, (state) => state);
  const [wanted, setWanted] = useState("");
  const stages = [...new Set(specs.map(({ stage }) => stage))];
  const shown = specs.filter((spec) => matches(spec, wanted));
  const count = Object.keys(chosen.parameters).length;
  return html`
    <div class="panel-body">
      ${error && html`<${Missing} what="The parameters" error=${error} onAgain=${loadSpecs} />`}
      ${fault && html`<${Missing} what="This model’s defaults and presets" error=${fault} onAgain=${() => chooseModel(chosen.model)} />`}
      <${Presets} />
      <${Thinking} />
      <${ConstraintEditor} />
      <${ToolsEditor} />
      <div class="panel-find">
        <input type="search" class="input" aria-label="Find a parameter" placeholder="Find a parameter" value=${wanted}
          onInput=${(/** @type {any} */ event) => setWanted(event.currentTarget.value)} />
        ${count > 0 && html`<button type="button" class="button is-quiet" onClick=${() => settings.set({ parameters: {} })}>
          Reset ${count}</button>`}
      </div>
      ${stages.map((stage) => html`<${Stage} key=${stage} stage=${stage} isFound=${wanted !== ""}
        specs=${shown.filter((spec) => spec.stage === stage)} />`)}
    </div>
  `;
}

/** @param {{ what: string, error: string, onAgain: () => void }} props */
function Missing({ what, error, onAgain }) {
  return html`
    <div class="notice is-error" role="alert">
      <p>${what} are missing. ${error}</p>
      <button type="button" class="button" onClick=${onAgain}>Try again</button>
    </div>
  `;
}

/** @param {Spec} spec @param {string} wanted */
function matches({ name, aliases, description }, wanted) {
  const text = wanted.trim().toLowerCase();
  return !text || [name, ...aliases, description].some((words) => words.toLowerCase().includes(text));
}

/** @param {{ stage: string, specs: Spec[], isFound: boolean }} props */
function Stage({ stage, specs, isFound }) {
  const chosen = useStore(settings, (state) => state);
  const details = useStore(modelStore, (state) => state.details);
  const byField = useStore(faults, (state) => state.byField);
  const [isOpen, setOpen] = useState(OPEN.includes(stage));
  if (!specs.length) return null;
  const changed = specs.filter(({ name }) => name in chosen.parameters).length;
  const isRefused = specs.some(({ name }) => name in byField);
  return html`
    <details class="stage" open=${isOpen || isFound || isRefused}
      onToggle=${(/** @type {any} */ event) => !isFound && setOpen(event.currentTarget.open)}>
      <summary>${TITLES[stage] ?? stage}${changed > 0 && html`<span class="badge">${changed} changed</span>`}</summary>
      ${specs.map((spec) => html`
        <${Control} key=${spec.name} spec=${spec} value=${chosen.parameters[spec.name]}
          fallback=${effectiveDefault(spec, chosen, details)} fault=${byField[spec.name]} />`)}
    </details>
  `;
}

function Presets() {
  const preset = useStore(settings, (state) => state.preset);
  const details = useStore(modelStore, (state) => state.details);
  const names = Object.keys(details?.presets ?? {});
  return html`
    <div class="row is-tall" role="group" aria-label="Preset">
      <span class="row-label">Preset</span>
      <div class="choices">
        ${["", ...names].map((name) => html`
          <button key=${name} type="button" class="choice" aria-pressed=${preset === name}
            onClick=${() => settings.set({ preset: name })}>${name || "none"}</button>`)}
      </div>
    </div>
  `;
}

function Thinking() {
  const thinking = useStore(settings, (state) => state.thinking);
  const details = useStore(modelStore, (state) => state.details);
  if (!details?.capabilities.includes("thinking")) return null;
  return html`
    <div class="row is-tall" role="group" aria-label="Thinking">
      <span class="row-label">Thinking</span>
      <div class="choices">
        ${/** @type {const} */ (["", "on", "off"]).map((value) => html`
          <button key=${value} type="button" class="choice" aria-pressed=${thinking === value}
            onClick=${() => settings.set({ thinking: value })}>${value || "as the model"}</button>`)}
      </div>
    </div>
  `;
}
