// A text as its tokens, tinted by surprise; each can be chosen, by arrow keys, too.
import { classes, html, useRef } from "../lib/preact.js";
import { tint, tintKey, tintWord } from "./tint.js";
import { share, shown } from "./waterfall.js";

/**
 * @param {{
 *   steps: import("./branches.js").Step[], chosen: number, own: number, label: string,
 *   onChoose: (place: number) => void,
 * }} props `own` is the first step that the branch does not share
 */
export function TokenLine({ steps, chosen, own, label, onChoose }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const move = (/** @type {KeyboardEvent} */ event) => {
    const place = moved(event.key, chosen, steps.length);
    if (place === null) return;
    event.preventDefault();
    onChoose(place);
    /** @type {HTMLElement | null | undefined} */ (box.current?.querySelector(`[data-place="${place}"]`))?.focus();
  };
  return html`
    <div class="lab-line" role="group" aria-label=${label} ref=${box} onKeyDown=${move}>
      ${steps.map(
        (step, place) => html`
          <${Token} key=${place} step=${step} place=${place} isChosen=${place === chosen} isShared=${place < own}
            onChoose=${onChoose} />${step.token.text.includes("\n") ? html`<br />` : null}
        `,
      )}
    </div>
  `;
}

/**
 * @param {{ step: import("./branches.js").Step, place: number, isChosen: boolean, isShared: boolean,
 *   onChoose: (place: number) => void }} props
 */
function Token({ step, place, isChosen, isShared, onChoose }) {
  const { token, surprise, probability, isPicked, forced } = step;
  const how = isPicked ? ", picked by you" : forced ? ", forced" : "";
  const text = token.text.replace(/\n/g, "⏎") || "∅";
  return html`
    <button type="button" data-place=${place} tabindex=${isChosen ? 0 : -1} aria-pressed=${isChosen}
      class=${classes("lab-token", `tint-${tint(surprise)}`, isShared && "is-shared", isPicked && "is-picked")}
      aria-label=${`${shown(token.text)}, ${tintWord(surprise)}, ${surprise.toFixed(1)} bits${how}`}
      title=${`${surprise.toFixed(1)} bits of surprise, drawn with ${share(probability)}${how}`}
      onClick=${() => onChoose(place)}>${text}</button>
  `;
}

/** What the colours mean. */
export function TintKey() {
  return html`
    <p class="lab-key">
      <span>surprise in bits</span>
      <span class="lab-key-steps">
        ${tintKey().map(({ step, label }) => html`<span key=${step} class=${`lab-key-step tint-${step}`}>${label}</span>`)}
      </span>
    </p>
  `;
}

/** @param {string} key @param {number} from @param {number} length @returns {number | null} */
function moved(key, from, length) {
  if (key === "ArrowRight" || key === "ArrowDown") return Math.min(from + 1, length - 1);
  if (key === "ArrowLeft" || key === "ArrowUp") return Math.max(from - 1, 0);
  if (key === "Home") return 0;
  return key === "End" ? length - 1 : null;
}
