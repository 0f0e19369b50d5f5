// Light, dark, or as the system has it.
import { createStore } from "./store.js";

/** @typedef {"" | "light" | "dark"} Theme */

const PLACE = "caravan.theme";
/** @type {Theme[]} */
const ORDER = ["", "light", "dark"];

export const themeStore = createStore(/** @type {{ theme: Theme }} */ ({
  theme: /** @type {Theme} */ (document.documentElement.dataset.theme ?? ""),
}));

/** What a theme is called. @param {Theme} theme */
export function themeName(theme) {
  return theme === "" ? "as the system" : theme;
}

/** Go on to the next theme. */
export function nextTheme() {
  const theme = ORDER[(ORDER.indexOf(themeStore.get().theme) + 1) % ORDER.length];
  themeStore.set({ theme });
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem(PLACE, theme);
  } catch {
    // Then it holds until the page is left.
  }
}
