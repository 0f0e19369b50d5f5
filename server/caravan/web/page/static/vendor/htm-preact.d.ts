// Types of what is used of htm's build of Preact; elements are not typed.
export class Component<P = {}, S = {}> {
  props: P;
  state: S;
  setState(part: Partial<S>): void;
}
type Hook = () => void | (() => void);
export function html(strings: TemplateStringsArray, ...values: any[]): any;
export function render(element: any, place: Element): void;
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((last: T) => T)) => void];
export function useReducer<S, A>(reducer: (state: S, action: A) => S, initial: S): [S, (action: A) => void];
export function useEffect(act: Hook, inputs?: readonly unknown[]): void;
export function useLayoutEffect(act: Hook, inputs?: readonly unknown[]): void;
export function useRef<T>(initial: T): { current: T };
export function useMemo<T>(make: () => T, inputs: readonly unknown[]): T;
export function useCallback<T extends (...given: any[]) => any>(act: T, inputs: readonly unknown[]): T;
