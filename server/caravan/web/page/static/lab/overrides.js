// Parameters of a column beside those of the settings: added by name, each with its value.
import { html, Icon, useStore } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { kindOf, meaning, specStore } from "../params/specs.js";

/** @typedef {import("../params/specs.js").Spec} Spec */
/** @typedef {Record<string, unknown>} Changes */

// Asked for by the comparison itself.
const OTHERS = new Set(["n", "best_of", "max_tokens"]);

/** Those that can be tried in a few letters. @param {Spec[]} specs */
export function simple(specs) {
  return specs.filter(({ name, schema }) => !OTHERS.has(name) && ["number", "boolean", "choice"].includes(kindOf(schema)));
}

/** Those that can be swept. @param {Spec[]} specs */
export function numeric(specs) {
  return simple(specs).filter(({ name, schema }) => kindOf(schema) === "number" && name !== "seed");
}

/** @param {{ id: number, changes: Changes, onChange: (changes: Changes) => void }} props */
export function Overrides({ id, changes, onChange }) {
  const specs = useStore(specStore, (state) => state.specs);
  const free = simple(specs).filter(({ name }) => !(name in changes));
  const add = (/** @type {any} */ event) => {
    const spec = specs.find(({ name }) => name === event.currentTarget.value);
    event.currentTarget.value = "";
    if (spec) onChange({ ...changes, [spec.name]: first(spec) });
  };
  const without = (/** @type {string} */ name) => () => {
    const { [name]: _, ...others } = changes;
    onChange(others);
  };
  return html`
    <div class="lab-overrides">
      ${Object.entries(changes).map(([name, value]) => html`
        <div key=${name} class="lab-override">
          <label for=${`o-${id}-${name}`}>${name}</label>
          <${Value} id=${`o-${id}-${name}`} spec=${specs.find((one) => one.name === name)} value=${value}
            onChange=${(/** @type {unknown} */ now) => onChange({ ...changes, [name]: now })} />
          <button type="button" class="icon-button is-small" aria-label=${`Leave ${name} as it is`} onClick=${without(name)}>
            <${Icon} path=${ICONS.close} /></button>
        </div>`)}
      <select class="select lab-add" aria-label="Change a parameter" onChange=${add}>
        <option value="">Change a parameter…</option>
        ${free.map(({ name, description }) => html`<option key=${name} value=${name} title=${meaning(description)}>${name}</option>`)}
      </select>
    </div>
  `;
}

/** @param {{ id: string, spec: Spec | undefined, value: any, onChange: (value: unknown) => void }} props */
function Value({ id, spec, value, onChange }) {
  const kind = spec ? kindOf(spec.schema) : "number";
  if (kind === "number") {
    const set = (/** @type {any} */ event) => {
      const { valueAsNumber: number } = event.currentTarget;
      if (!Number.isNaN(number)) onChange(number);
    };
    return html`<input id=${id} type="number" class="input" step="any" min=${spec?.schema.minimum} max=${spec?.schema.maximum}
      value=${value} onChange=${set} />`;
  }
  const values = kind === "boolean" ? [true, false] : spec?.schema.enum;
  return html`
    <select id=${id} class="select" onChange=${(/** @type {any} */ event) => onChange(values[event.currentTarget.selectedIndex])}>
      ${values.map((/** @type {unknown} */ each) => html`<option selected=${each === value}>${String(each)}</option>`)}
    </select>
  `;
}

/** A value to begin with. @param {Spec} spec */
function first({ default: value, neutral, schema }) {
  if (kindOf(schema) === "boolean") return true;
  if (kindOf(schema) === "choice") return schema.enum[schema.enum.length - 1];
  return value ?? neutral ?? schema.minimum ?? 0;
}
