// Texts into the clipboard, also where the page came by plain HTTP and browsers give it no `navigator.clipboard`.
import { useState } from "./preact.js";

/**
 * What a button that copies says, and what it does.
 * @param {string} text
 */
export function useCopy(text) {
  const [told, setTold] = useState("Copy");
  const copy = async () => setTold((await copied(text)) ? "Copied" : "This browser does not let it be copied");
  return { told, copy };
}

/** @param {string} text @returns {Promise<boolean>} whether it was let */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedFromPage(text);
  }
}

/** Copy by a selection, which needs no permission within a click. @param {string} text */
function copiedFromPage(text) {
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "heard-only";
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return isDone;
}
