import { Body, Button, Head, Html, Tailwind, Text } from '@react-email/components';
import config from './shared/tailwind.config';

export default function TailwindSharedConfig() {
  return (
    <Html>
      <Tailwind config={config}>
        <Head />
        <Body className="bg-paper text-ink">
          <Text className="shout pill text-brand-500 font-display">shared</Text>
          <Button href="#" className="bg-accent px-card py-2 tone-warm hocus:bg-brand-500">preset and plugins</Button>
        </Body>
      </Tailwind>
    </Html>
  );
}
