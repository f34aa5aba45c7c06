type ClassValue = string | number | boolean | null | undefined | ClassValue[] | { [name: string]: unknown };
export function cn(...inputs: ClassValue[]): string {
  let out = '';
  for (const each of inputs) {
    if (!each) continue;
    const text: string = typeof each === 'object' ? (Array.isArray(each) ? cn(...each) : Object.entries(each).filter(([, v]) => v).map(([k]) => k).join(' ')) : String(each);
    if (text) out += (out && ' ') + text;
  }
  return out;
}
type Variants = Record<string, Record<string, string>>;
export function tv<V extends Variants>({ base, variants, defaultVariants = {} }: { base: string; variants: V; defaultVariants?: { [K in keyof V]?: keyof V[K] } }) {
  return (props: { [K in keyof V]?: keyof V[K] } & { class?: ClassValue } = {}): string =>
    cn(base, ...Object.keys(variants).map((name) => variants[name]![(props[name] ?? defaultVariants[name]) as string]), props.class);
}
