import React, { createContext, useCallback, useContext, useDebugValue, useDeferredValue, useEffect, useId, useLayoutEffect, useMemo, useReducer, useRef, useState, useSyncExternalStore, useTransition } from 'react';
import { Body, Html, Text } from 'react-email';

const Theme = createContext({ color: 'black', depth: 0 });

function useLabel(n: number) {
  useDebugValue(n);
  return useMemo(() => `#${n}`, [n]);
}

function Nested({ level }: { level: number }) {
  const theme = useContext(Theme);
  const id = useId();
  const [count] = useState(() => level * 2);
  const [sum, dispatch] = useReducer((state: number, by: number) => state + by, 10);
  const box = useRef(level);
  const label = useLabel(count);
  const text = useCallback(() => `${label} ${sum} ${box.current}`, [label, sum]);
  const [pending] = useTransition();
  const deferred = useDeferredValue(level);
  const online = useSyncExternalStore(() => () => {}, () => false, () => true);
  useEffect(() => { throw new Error('effects do not run on a server'); });
  useLayoutEffect(() => { dispatch(1); });
  return (
    <Text id={id} style={{ color: theme.color }}>
      {text()} {String(pending)} {deferred} {String(online)} {theme.depth}
      {level > 0 && (
        <Theme.Provider value={{ color: 'teal', depth: theme.depth + 1 }}>
          <Nested level={level - 1} />
        </Theme.Provider>
      )}
    </Text>
  );
}

export default function ContextAndHooks() {
  return (
    <Html>
      <Body>
        <Theme value={{ color: 'red', depth: 1 }}><Nested level={2} /></Theme>
        <Theme.Consumer>{(theme) => <Text>{theme.color}</Text>}</Theme.Consumer>
      </Body>
    </Html>
  );
}
