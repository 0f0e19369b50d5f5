// A field for a count: it can be emptied and typed anew, and what is no count is not taken over.
import { html, useState } from "./preact.js";

/** @param {{ value: number, most: number, onCount: (count: number) => void }} props */
export function CountInput({ value, most, onCount }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const read = (/** @type {any} */ event) => {
    const field = event.currentTarget;
    setTyped(field.value);
    if (field.checkValidity()) onCount(field.valueAsNumber);
  };
  return html`<input type="number" class="input" min="1" max=${most} required value=${typed ?? value} onInput=${read}
    onBlur=${() => setTyped(null)} />`;
}
