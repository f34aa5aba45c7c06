import { Body, Column, Container, Html, Row, Section } from 'react-email';

export default function Grid() {
  return (
    <Html>
      <Body style={{ backgroundColor: '#fff', padding: '10px', margin: '0 auto', background: 'none' }}>
        <Container style={{ maxWidth: 500, border: '1px solid #eee' }} id="c" align="left">
          <Section style={{ padding: '1px 2px' }} bgcolor="#eee">
            <Row style={{ verticalAlign: 'top' }} data-n={1}>
              <Column align="right" valign="top" style={{ width: '50%' }} colSpan={2} width={100}>left</Column>
              <Column>{''}</Column>
            </Row>
          </Section>
        </Container>
      </Body>
    </Html>
  );
}
