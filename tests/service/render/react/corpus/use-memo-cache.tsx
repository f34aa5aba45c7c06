import { cache, startTransition, useActionState, useInsertionEffect, useImperativeHandle, useOptimistic, useRef, version } from 'react';
import { Body, Html, Text } from 'react-email';

const square = cache ? cache((n: number) => n * n) : (n: number) => n * n;

export default function MoreHooks() {
  const ref = useRef(null);
  const [state] = useActionState((n: number) => n + 1, 1);
  const [optimistic] = useOptimistic('sure');
  useInsertionEffect(() => {});
  useImperativeHandle(ref, () => null);
  return <Html><Body><Text>{square(3)} {state} {optimistic} {typeof startTransition} {version.split('.')[0]}</Text></Body></Html>;
}
