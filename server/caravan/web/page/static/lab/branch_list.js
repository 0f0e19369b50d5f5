// The branches of a text, to go from one to another.
import { classes, html } from "../lib/preact.js";
import { depth, line } from "./branches.js";
import { show } from "./session.js";

/** @param {{ tree: import("./branches.js").Tree, branch: number }} props */
export function BranchList({ tree, branch }) {
  if (tree.length < 2) return null;
  return html`
    <ul class="lab-branches" aria-label="Branches">
      ${tree.map(({ id, at, label, parent }) => html`
        <li key=${id} class=${`lab-depth-${Math.min(depth(tree, id), 5)}`}>
          <button type="button" class=${classes("lab-branch", id === branch && "is-current")}
            aria-current=${id === branch ? "true" : undefined} onClick=${() => show(id)}>
            <span class="lab-branch-name">${id}${parent !== null && html` · at token ${at + 1}: ${label}`}</span>
            <span class="lab-branch-text">${excerpt(tree, id, at)}</span>
          </button>
        </li>`)}
    </ul>
  `;
}

/** How a branch goes on where it is its own. @param {import("./branches.js").Tree} tree @param {number} id @param {number} at */
function excerpt(tree, id, at) {
  const text = line(tree, id).slice(at).map(({ token }) => token.text).join("");
  return text.replace(/\s+/g, " ").trim().slice(0, 60);
}
