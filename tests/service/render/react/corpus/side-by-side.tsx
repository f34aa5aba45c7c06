import * as React from 'react';
import * as E from 'react-email';
import { Html as H, Text as T } from '@react-email/components';
import * as parts from './shared/parts';
export { T as Reexported };
const { Section: { displayName }, Row } = E;
const Dot = { Title: ({ children }: React.PropsWithChildren) => <E.Heading as="h2">{children}</E.Heading> };
const Lazy = React.memo(React.forwardRef<HTMLParagraphElement, { x: string }>((p, ref) => <p ref={ref}>{p.x}</p>));
export default class Mail extends React.Component<{ a: string }, { n: number }> {
  static PreviewProps = { a: 'A' };
  state = { n: 1 };
  render(): React.ReactNode { return <H lang="en"><E.Body><Dot.Title>{this.props.a}{displayName}</Dot.Title><T>{this.state.n}</T><Lazy x="y" /><parts.Footer {...{ year: 2024 }} key="k" /><Row><React.Fragment key="f">f</React.Fragment></Row>{React.createElement('u', null, 'u', 1, [null, false, 'z'])}{React.Children.toArray([<b key="1">1</b>, 'x']).length}{React.cloneElement(<em title="t">e</em>, { title: 'q' })}</E.Body></H>; }
}
