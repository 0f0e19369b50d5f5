// How likely each candidate is to be drawn, with the parameters as they were and as they are now.
import { html } from "../lib/preact.js";
import { share, shown } from "./waterfall.js";

const MOST = 10;

/**
 * @typedef {import("./rank.js").Ranked} Ranked
 * @param {{ before: Ranked[], after: Ranked[], textOf: (id: number) => string }} props
 */
export function Chances({ before, after, textOf }) {
  const [was, is] = [before, after].map((ranked) => chancesOf(ranked[ranked.length - 1]));
  const ids = [...new Set([...was.keys(), ...is.keys()])]
    .map((id) => ({ id, was: was.get(id) ?? 0, is: is.get(id) ?? 0 }))
    .sort((one, other) => Math.max(other.was, other.is) - Math.max(one.was, one.is))
    .slice(0, MOST);
  const top = Math.max(...ids.map((one) => Math.max(one.was, one.is)));
  return html`
    <table class="lab-chances">
      <caption>Chance to be drawn</caption>
      <thead>
        <tr><th scope="col">token</th><th scope="col">before</th><th scope="col">now</th>
          <th scope="col"><span class="heard-only">change</span></th></tr>
      </thead>
      <tbody>
        ${ids.map((one) => html`<${Chance} key=${one.id} text=${shown(textOf(one.id))} ...${one} top=${top} />`)}
      </tbody>
    </table>
  `;
}

/** @param {{ text: string, was: number, is: number, top: number }} props */
function Chance({ text, was, is, top }) {
  const difference = is - was;
  const sign = Math.abs(difference) < 0.0005 ? "" : difference > 0 ? "+" : "−";
  return html`
    <tr>
      <th scope="row"><span class="lab-chip">${text}</span></th>
      <td><${Bar} part=${was / top} kind="was" />${share(was)}</td>
      <td><${Bar} part=${is / top} kind="is" />${is === 0 && was > 0 ? "cut" : share(is)}</td>
      <td class="lab-change">${sign && `${sign}${share(Math.abs(difference))}`}</td>
    </tr>
  `;
}

/** @param {{ part: number, kind: "was" | "is" }} props */
function Bar({ part, kind }) {
  return html`
    <svg class="lab-chance-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class=${`lab-bar-${kind}`} width=${100 * part} height="10" />
    </svg>
  `;
}

/** @param {Ranked} stage @returns {Map<number, number>} */
function chancesOf({ candidates }) {
  return new Map(candidates.map(({ id, probability }) => [id, probability]));
}
