import * as React from 'react';
import { Body, Html, Text } from '@react-email/components';

class Counter extends React.Component<{ start: number }, { count: number }> {
  static defaultLabel = 'Count';
  state = { count: this.props.start };
  #secret = 7;

  static getDerivedStateFromProps(props: { start: number }, state: { count: number }) {
    return { count: state.count + props.start };
  }

  get doubled() {
    return this.state.count * 2 + this.#secret;
  }

  render() {
    return <Text>{Counter.defaultLabel}: {this.state.count} ({this.doubled})</Text>;
  }
}

class Pure extends React.PureComponent<{ children: React.ReactNode }> {
  render() {
    return <>{this.props.children}</>;
  }
}

export default class ClassMail extends React.Component<{ start?: number }> {
  static PreviewProps = { start: 3 };
  render() {
    return (
      <Html>
        <Body>
          <Pure><Counter start={this.props.start ?? 1} /></Pure>
        </Body>
      </Html>
    );
  }
}
