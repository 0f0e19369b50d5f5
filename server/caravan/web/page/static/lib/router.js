// Which view is shown: the part of the address behind `#/`.
import { createStore } from "./store.js";

export const route = createStore(read());

addEventListener("hashchange", () => route.set(read()));

function read() {
  return { view: location.hash.split("/")[1] ?? "" };
}
