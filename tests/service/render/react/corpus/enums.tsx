import { Html, Text } from 'react-email';
import { Level } from './shared/level';
enum Status { Open, Paid = 5, Late, Text = 'text', Computed = 'abc'.length, Both = Paid | Late }
const enum Kind { A = 'a', B = 'b' }
declare enum Amb { X = 1 }
export default function Mail({ status }: { status: Status }) {
  return <Html><Text>{Status[status]} {Status.Open} {Status.Late} {Status.Text} {Status.Computed} {Status.Both} {Kind.B} {Level.High} {Object.keys(Status).join()}</Text></Html>;
}
Mail.PreviewProps = { status: Status.Paid };
