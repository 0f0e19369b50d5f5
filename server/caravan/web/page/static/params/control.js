// One parameter as a control, made from its schema: quiet while it does nothing, marked when it is changed.
import { classes, html, memo, Icon, useState } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { setParameter } from "./settings.js";
import { kindOf, meaning, rangeOf, spanOf } from "./specs.js";

/**
 * @typedef {import("./specs.js").Spec} Spec
 * @typedef {{ spec: Spec, value: unknown, fallback: unknown, fault?: string }} ControlProps
 */

export const Control = memo((/** @type {ControlProps} */ props) => {
  const { spec, value, fallback, fault } = props;
  const { name } = spec;
  const isChanged = value !== undefined;
  const inForce = isChanged ? value : fallback;
  const isQuiet = !isChanged && (inForce === null || inForce === undefined || inForce === spec.neutral);
  const range = rangeOf(spec.schema);
  return html`
    <div class=${classes("control", isChanged && "is-changed", isQuiet && "is-quiet", fault && "is-refused")}>
      <div class="control-head">
        <label for=${`p-${name}`}>${name}</label>
        ${isChanged && html`<button type="button" class="icon-button is-small" aria-label=${`Reset ${name}`}
          title="Back to the default" onClick=${() => setParameter(name, undefined)}><${Icon} path=${ICONS.close} /></button>`}
      </div>
      <${Editor} ...${props} />
      <p class="control-meaning" id=${`m-${name}`} title=${spec.description}>
        ${marked(meaning(spec.description))}${range && html` <span class="control-range">${range}</span>`}
      </p>
      ${fault && html`<p class="field-error" role="alert" id=${`f-${name}`}>${fault}</p>`}
    </div>
  `;
});

/** A text whose names stand in backquotes. @param {string} text */
function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));
}

/** @param {ControlProps} props */
function Editor(props) {
  const kind = kindOf(props.spec.schema);
  if (kind === "number") return html`<${NumberEditor} ...${props} />`;
  if (kind === "boolean") return html`<${ChoiceEditor} ...${props} values=${[true, false]} />`;
  if (kind === "choice") return html`<${ChoiceEditor} ...${props} values=${props.spec.schema.enum} />`;
  return html`<${TextEditor} ...${props} />`;
}

/** @param {Spec} spec @param {string | undefined} fault */
function naming({ name }, fault) {
  return { id: `p-${name}`, "aria-describedby": fault ? `m-${name} f-${name}` : `m-${name}` };
}

/** @param {ControlProps} props */
function NumberEditor({ spec, value, fallback, fault }) {
  const span = spanOf(spec);
  const set = (/** @type {any} */ event) => {
    const { valueAsNumber: number, value: text } = event.currentTarget;
    setParameter(spec.name, text === "" || Number.isNaN(number) ? undefined : number);
  };
  const inForce = typeof value === "number" ? value : typeof fallback === "number" ? fallback : (span?.[0] ?? 0);
  return html`
    <div class="number">
      ${span && html`<input type="range" aria-label=${`${spec.name}, slider`} min=${span[0]} max=${span[1]} step=${span[2]}
        value=${inForce} onInput=${set} />`}
      <input ...${naming(spec, fault)} type="number" class="input" step=${spec.schema.type === "integer" ? 1 : "any"}
        min=${spec.schema.minimum} max=${spec.schema.maximum} value=${value ?? ""} placeholder=${written(fallback)}
        onInput=${set} />
    </div>
  `;
}

/** @param {ControlProps & { values: unknown[] }} props */
function ChoiceEditor({ spec, value, fallback, fault, values }) {
  const set = (/** @type {any} */ event) => setParameter(spec.name, values[event.currentTarget.selectedIndex - 1]);
  return html`
    <select ...${naming(spec, fault)} class="select" onChange=${set}>
      <option selected=${value === undefined}>default: ${written(fallback)}</option>
      ${values.map((each) => html`<option selected=${value === each}>${String(each)}</option>`)}
    </select>
  `;
}

/** Lists have an item a line; all else is JSON, which is sent once it can be read. @param {ControlProps} props */
function TextEditor({ spec, value, fallback, fault }) {
  const kind = kindOf(spec.schema);
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const set = (/** @type {any} */ event) => {
    const text = event.currentTarget.value;
    setTyped(text);
    setParameter(spec.name, text.trim() ? read(text, kind) : undefined);
  };
  // What is typed holds while it means the value that is set.
  const isTyped = typed !== null && JSON.stringify(typed.trim() ? read(typed, kind) : undefined) === JSON.stringify(value);
  return html`
    <textarea ...${naming(spec, fault)} class="input is-code" rows="1" placeholder=${hint(kind, fallback)}
      value=${isTyped ? typed : shown(value, kind)} onInput=${set} />
  `;
}

/** @param {string} text @param {import("./specs.js").Kind} kind */
function read(text, kind) {
  if (kind === "texts") return text.split("\n").filter((line) => line !== "");
  if (kind === "numbers") return text.split(/[\s,]+/).filter(Boolean).map((part) => (/^-?\d+$/.test(part) ? Number(part) : part));
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @param {unknown} value @param {import("./specs.js").Kind} kind */
function shown(value, kind) {
  if (value === undefined) return "";
  if (kind === "texts" && Array.isArray(value)) return value.join("\n");
  if (kind === "numbers" && Array.isArray(value)) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {import("./specs.js").Kind} kind @param {unknown} fallback */
function hint(kind, fallback) {
  const way = { texts: "one a line", numbers: "numbers, with commas", json: "JSON" }[/** @type {"json"} */ (kind)];
  return fallback === null || fallback === undefined ? way : JSON.stringify(fallback);
}

/** @param {unknown} value */
function written(value) {
  return value === null || value === undefined ? "none" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
