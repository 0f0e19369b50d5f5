// Values that come faster than they can be seen.

/**
 * Do something with the newest value, once a frame at most.
 * @template {object} T
 * @param {(value: T) => void} act
 */
export function perFrame(act) {
  /** @type {T | null} */
  let waiting = null;
  let frame = 0;
  const now = () => {
    frame = 0;
    if (waiting) act(waiting);
    waiting = null;
  };
  return {
    /** @param {T} value */
    next(value) {
      waiting = { ...waiting, ...value };
      // A page in the background has no frames.
      frame ||= document.hidden ? setTimeout(now, 100) : requestAnimationFrame(now);
    },
    end() {
      now();
    },
  };
}
