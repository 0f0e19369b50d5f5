// The parameters that can be tried on a stored step: sliders, and the order of the samplers.
import { classes, html, Icon, useStore } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { meaning, spanOf, specStore } from "../params/specs.js";
import { ORDER } from "./rank.js";
import { brief, stageTitle } from "./words.js";

/** @typedef {import("./rank.js").Parameters} Parameters */

/** @type {{ title: string, names: string[] }[]} */
const GROUPS = [
  { title: "Temperature", names: ["temperature", "dynatemp_range"] },
  { title: "Truncation", names: ["top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "min_keep"] },
  { title: "XTC", names: ["xtc_probability", "xtc_threshold"] },
  { title: "Penalties", names: ["repeat_penalty", "presence_penalty", "frequency_penalty"] },
];

/**
 * @param {{
 *   before: Parameters, changes: Parameters, onChange: (changes: Parameters) => void,
 *   acts: boolean, onActs: (acts: boolean) => void,
 * }} props
 */
export function Knobs({ before, changes, onChange, acts, onActs }) {
  const set = (/** @type {string} */ name, /** @type {unknown} */ value) => {
    const { [name]: _, ...others } = changes;
    onChange(JSON.stringify(value) === JSON.stringify(before[name]) ? others : { ...others, [name]: value });
  };
  const now = { ...before, ...changes };
  return html`
    <div class="lab-knobs" role="group" aria-label="Parameters to try">
      ${GROUPS.map(({ title, names }) => html`
        <fieldset key=${title} class="lab-group">
          <legend>${title}</legend>
          ${names.map((name) => html`
            <${Knob} key=${name} name=${name} value=${now[name]} isChanged=${name in changes}
              onChange=${(/** @type {unknown} */ value) => set(name, value)} />`)}
          ${title === "XTC" && now.xtc_probability > 0 && html`
            <label class="lab-check">
              <input type="checkbox" checked=${acts} onChange=${(/** @type {any} */ event) => onActs(event.currentTarget.checked)} />
              chance has it act (${brief(now.xtc_probability * 100)} % of steps)
            </label>`}
        </fieldset>`)}
      <${Order} samplers=${orderOf(now)} isChanged=${"samplers" in changes}
        onChange=${(/** @type {string[]} */ samplers) => set("samplers", alike(samplers, before))} />
      <button type="button" class="button is-wide" disabled=${!Object.keys(changes).length} onClick=${() => onChange({})}>
        Back to what was
      </button>
    </div>
  `;
}

/** @param {{ name: string, value: number | null | undefined, isChanged: boolean, onChange: (value: number) => void }} props */
function Knob({ name, value, isChanged, onChange }) {
  const spec = useStore(specStore, ({ specs }) => specs.find((one) => one.name === name));
  const [low, high, step] = (spec && spanOf(spec)) ?? [0, 1, 0.01];
  const set = (/** @type {any} */ event) => {
    const { valueAsNumber: number } = event.currentTarget;
    if (!Number.isNaN(number)) onChange(number);
  };
  return html`
    <div class=${classes("lab-knob", isChanged && "is-changed")}>
      <label for=${`k-${name}`} title=${spec && meaning(spec.description)}>${name}</label>
      <input type="range" id=${`k-${name}`} min=${low} max=${high} step=${step} value=${value ?? low} onInput=${set} />
      <input type="number" class="input" aria-label=${`${name}, number`} min=${spec?.schema.minimum} max=${spec?.schema.maximum}
        step="any" value=${value ?? ""} onChange=${set} />
    </div>
  `;
}

/** @param {{ samplers: string[], isChanged: boolean, onChange: (samplers: string[]) => void }} props */
function Order({ samplers, isChanged, onChange }) {
  const swap = (/** @type {number} */ place) => () => {
    const order = [...samplers];
    [order[place], order[place + 1]] = [order[place + 1], order[place]];
    onChange(order);
  };
  return html`
    <fieldset class=${classes("lab-group", "lab-order", isChanged && "is-changed")}>
      <legend>Order</legend>
      <ol>
        ${samplers.map((name, place) => html`
          <li key=${name}>
            <span>${stageTitle(name)}</span>
            <button type="button" class="icon-button is-small is-up" aria-label=${`${stageTitle(name)} earlier`}
              disabled=${place === 0} onClick=${swap(place - 1)}><${Icon} path=${ICONS.down} /></button>
            <button type="button" class="icon-button is-small" aria-label=${`${stageTitle(name)} later`}
              disabled=${place === samplers.length - 1} onClick=${swap(place)}><${Icon} path=${ICONS.down} /></button>
          </li>`)}
      </ol>
    </fieldset>
  `;
}

/** All samplers in their order, the temperature among them. @param {Parameters} parameters @returns {string[]} */
function orderOf({ samplers }) {
  const named = (samplers ?? ORDER).filter((/** @type {string} */ name) => name !== "penalties" && name !== "dry");
  return named.includes("temperature") ? named : [...named, "temperature"];
}

/** The list as it was, where it means the same. @param {string[]} samplers @param {Parameters} before */
function alike(samplers, before) {
  return JSON.stringify(samplers) === JSON.stringify(orderOf(before)) ? before.samplers : samplers;
}
